"""Classification of patients from slices."""
