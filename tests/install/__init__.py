"""Installations in clean environments, as `make test-install` makes them."""
