"""Keeps processes running, whatever they are."""
