"""HTTP as a client: small answers, large archives, broken connections."""
