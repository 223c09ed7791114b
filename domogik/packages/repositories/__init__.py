"""What the repositories offer, fetched and kept."""
