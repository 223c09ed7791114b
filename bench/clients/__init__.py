"""Clients that ask servers as fast as they answer."""
