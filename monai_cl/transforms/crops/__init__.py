"""Crops of slices for online clustering: drawn, cut, and with other energies in their frequency bands."""
