"""Packages: descriptors, repositories, archives, the store and their needs."""
