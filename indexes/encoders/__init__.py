"""Texts (later: images) -> unit vectors, offline and while serving."""
