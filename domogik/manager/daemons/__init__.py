"""The managed daemons of this host."""
