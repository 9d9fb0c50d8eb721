"""Bytes on the disk that survive a power cut: atomic writes, locks, manifests, published
versions, mapped arrays.
"""
