"""Descriptors of packages: read, validated, written."""
