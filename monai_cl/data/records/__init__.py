"""Records that a run leaves: results.json and tables."""
