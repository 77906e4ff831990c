"""Statistics of the scans of a data list: what each is, what they have in common, which of them differ."""
