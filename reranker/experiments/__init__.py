"""Blends beside the served one: shadows, drift (later: A/B assignment, interleaving, canary)."""
