"""Search, Compare, Blends, System."""
