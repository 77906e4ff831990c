"""Whole scans on one grid, with what is known of them."""
