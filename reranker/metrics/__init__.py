"""Pure maths: ranking and classification metrics, rank correlation, intervals, significance."""
