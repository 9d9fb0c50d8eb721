"""Texts -> unit vectors, offline and while serving."""
