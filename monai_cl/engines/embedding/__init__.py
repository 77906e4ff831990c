"""Embeddings: vectors of scans, slices and patches by a frozen encoder, and what they know."""
