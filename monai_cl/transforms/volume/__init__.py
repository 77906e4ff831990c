"""Transforms of whole volumes."""
