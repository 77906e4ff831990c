"""The page that shows what a run's network will see."""
