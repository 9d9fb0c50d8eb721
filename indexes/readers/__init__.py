"""JSONL, CSV, Parquet (gzipped or not) -> numbered rows, bad lines named."""
