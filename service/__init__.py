"""Edge: the core over HTTP, the command line, the engineers' page and the demo shop."""
