"""Records: what is remembered about plugins."""
