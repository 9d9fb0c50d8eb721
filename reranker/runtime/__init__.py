"""What any request on its way needs: budget, breakers, stage clocks, caches, guarded encoder."""
