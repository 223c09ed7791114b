"""Is everything well, and what is wrong now: checks, issues, repair."""
