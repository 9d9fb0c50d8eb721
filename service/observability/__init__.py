"""Logs, request ids, Prometheus."""
