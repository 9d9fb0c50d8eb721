"""Judged requests -> metrics, differences with intervals, slices, provenance."""
