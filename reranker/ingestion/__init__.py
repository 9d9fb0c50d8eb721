"""Events files -> histories, with the count of every step."""
