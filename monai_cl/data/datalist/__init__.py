"""Data lists: reading, checking, editing, making them from folders and tables."""
