"""What a run's network will see, before the run is started."""
