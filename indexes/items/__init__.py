"""An item: its record, text, words, id, columns, and the index that serves them."""
