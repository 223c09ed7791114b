"""Door for xPL."""
