"""A stand-in for Elasticsearch or OpenSearch: searches come back re-ranked, all else as it is."""
