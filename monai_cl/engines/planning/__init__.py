"""Before a training: its settings from the statistics of its scans, and what it will take."""
