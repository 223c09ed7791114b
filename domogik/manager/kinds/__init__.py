"""The kinds of component of this host: one object for each, in one registry."""
