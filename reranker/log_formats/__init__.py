"""Logs in other systems' formats, one file each: rows of theirs -> events and rankings of ours."""
