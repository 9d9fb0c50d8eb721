"""torch: what is known of items beside their ids and texts -> a part of their content vectors."""
