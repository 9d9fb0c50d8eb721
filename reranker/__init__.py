"""Core: query, candidates and behaviour -> signals -> blend -> ranking with its explanation."""
