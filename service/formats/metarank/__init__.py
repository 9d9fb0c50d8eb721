"""Metarank's addresses: /rank, /feedback, /recommend, /train."""
