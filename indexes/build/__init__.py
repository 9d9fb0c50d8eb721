"""Catalogue -> published index: the rebuild (later: shards, Ray Data)."""
