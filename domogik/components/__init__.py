"""The values that describe components, their checks and events."""
