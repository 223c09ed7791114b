"""Checks of ports and connections."""
