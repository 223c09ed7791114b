"""Storeroom: what is installed, and how it gets there."""
