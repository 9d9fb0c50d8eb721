"""Gunicorn: worker, gate, arbiter, listening, `serve`."""
