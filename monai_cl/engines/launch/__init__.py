"""How a run starts and how its failures are reported."""
