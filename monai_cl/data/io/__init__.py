"""Volumes from disk: formats, headers, grids."""
