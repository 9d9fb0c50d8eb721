"""The shop's own searches, judgments and catalogue -> its text encoder, adapted and proved."""
