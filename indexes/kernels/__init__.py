"""The inner loops of a ranking over plain arrays: compiled where C is, in numpy where it is not."""
