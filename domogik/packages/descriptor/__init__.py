"""Descriptors of packages: read, judged, written."""
