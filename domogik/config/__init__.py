"""The home directory and the configuration files in it."""
