"""Networks of whole volumes."""
