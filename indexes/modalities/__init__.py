"""Vectors of items that no text made (pictures, sound, ...): read, written, served."""
