"""Forget, keep for a time, rotate keys: over everything that is kept."""
