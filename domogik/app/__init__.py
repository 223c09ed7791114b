"""Fuse box: the only room that sees the whole house."""
