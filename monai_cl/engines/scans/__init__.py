"""Classification of patients from whole scans."""
