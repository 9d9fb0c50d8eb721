"""Commands that learn, with torch: the sequence encoder and counts, the text encoder."""
