"""Packages as their authors create, check and publish them."""
