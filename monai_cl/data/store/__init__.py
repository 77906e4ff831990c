"""The store of prepared volumes."""
