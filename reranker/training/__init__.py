"""Torch: histories -> sequences -> trained sequence model, statistics and heads -> published
version.
"""
