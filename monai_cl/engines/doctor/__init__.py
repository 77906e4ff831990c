"""Checks of a machine and an installation."""
