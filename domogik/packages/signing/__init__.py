"""Signed repositories: signing by the owner, verification by clients."""
