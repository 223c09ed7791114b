"""Drawings: the values that every room shares."""
