"""Requests in the formats of other systems, one file each: translations that end in api."""
