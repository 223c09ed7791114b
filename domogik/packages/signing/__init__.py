"""Signed repositories: made by their owner, verified by a client."""
