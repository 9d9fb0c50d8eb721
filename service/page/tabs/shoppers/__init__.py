"""One shopper: timeline, what the model sees in it, and what each application makes of it."""
