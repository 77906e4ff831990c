"""Weights written for the networks of other libraries, and the model card beside them."""
