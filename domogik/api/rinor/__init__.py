"""The paths that Domogik's own clients know, in their words."""
