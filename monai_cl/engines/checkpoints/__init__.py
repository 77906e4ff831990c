"""Checkpoints, resume, pre-emption."""
