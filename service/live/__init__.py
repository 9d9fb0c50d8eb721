"""What goes on beside the requests: reload of what is published, retention, draining, jobs."""
