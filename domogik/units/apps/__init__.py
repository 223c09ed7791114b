"""Apps, their components, and the registry of both."""
