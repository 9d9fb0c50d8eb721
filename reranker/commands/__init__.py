"""Click only here: one file a command group of the core."""
