"""Events kept by shopper, behind one interface; the embedded store is SQLite."""
