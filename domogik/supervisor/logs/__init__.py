"""The output of components in rotated files."""
