"""Handlers of Ignite engines."""
