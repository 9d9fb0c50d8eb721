"""What completes a cart, what is bought next, whether it is ordered: counts, models, proof."""
