"""Vectors -> FAISS files, written in bounded memory, with the bytes that FAISS would write."""
