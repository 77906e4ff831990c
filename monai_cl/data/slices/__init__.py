"""2-D slices of volumes and their features."""
