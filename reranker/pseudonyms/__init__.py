"""Names of shoppers -> the names under which they lie on the disk, and the keys of a home."""
