"""The generated catalogue; words.toml is data."""
