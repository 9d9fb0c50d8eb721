"""The program: menu, serve, keys, settings, doctor."""
