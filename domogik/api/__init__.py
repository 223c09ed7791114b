"""Door for programs."""
