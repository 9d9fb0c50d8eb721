"""What is published in a home <-> a store that many machines read: one set behind one pointer."""
