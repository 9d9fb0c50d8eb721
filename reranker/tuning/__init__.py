"""Judged requests -> fitted blends, proved on requests held out."""
