"""Offline side: items -> item vectors -> a FAISS index, published as a version."""
