"""One route a file, and its OpenAPI (later: recommend, cart, churn; formats/ above it)."""
