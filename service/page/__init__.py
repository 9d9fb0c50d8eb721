"""The relevance engineers' page at `/`: see, change, prove and publish what the blend does."""
