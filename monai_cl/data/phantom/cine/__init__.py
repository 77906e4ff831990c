"""Synthetic cardiac cine MR: short-axis stacks of the beating heart, end-diastole and end-systole."""
