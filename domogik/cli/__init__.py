"""Door for terminals."""
