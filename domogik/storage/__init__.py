"""The database of plugin configuration values."""
