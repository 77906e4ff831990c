"""MixCL: its terms, their sum and its presets."""
