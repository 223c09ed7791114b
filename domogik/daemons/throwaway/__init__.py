"""Servers for tests: made, shared, cleaned and ended with the program."""
