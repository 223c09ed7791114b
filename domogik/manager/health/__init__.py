"""Health: the checks of components, the issues that are open, and their repair."""
