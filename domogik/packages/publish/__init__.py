"""Packages made, checked and published by their authors."""
