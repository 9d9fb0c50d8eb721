"""Blends beside the served one: shadows, drift."""
