"""Commands that look at a run before it is started."""
