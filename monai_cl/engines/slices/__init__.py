"""Pre-training on slices."""
