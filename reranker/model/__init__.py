"""The trained model as it is served, without torch: sequence encoder, item statistics, heads."""
