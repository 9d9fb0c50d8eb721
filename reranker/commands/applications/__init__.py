"""The terminal: one file a command group of the applications."""
