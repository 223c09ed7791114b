"""The commands that start daemons, and what a daemon is without its contents."""
