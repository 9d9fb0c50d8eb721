"""Catalogue -> published index: the rebuild."""
