"""Synthetic head CT with and without haemorrhage."""
