"""Request + index + history -> one column a signal (feature extraction)."""
