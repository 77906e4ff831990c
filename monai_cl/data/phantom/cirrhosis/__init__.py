"""Synthetic liver CT with graded cirrhosis."""
