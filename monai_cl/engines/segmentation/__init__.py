"""Segmentation: data, network, inference."""
