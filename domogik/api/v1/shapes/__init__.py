"""How values look in JSON, each beside its schema."""
