"""The whole customer base: who may leave, what is at risk, what recommendations reach."""
