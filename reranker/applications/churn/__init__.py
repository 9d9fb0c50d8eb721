"""Who will buy nothing in the next days, and why: examples, models, proof, answers."""
