"""Next item and next action foreseen on held-out events, beside baselines."""
