"""One route a file, and its OpenAPI."""
