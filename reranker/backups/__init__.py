"""A home, while it is served, copied whole and checked; and made anew of the copy."""
