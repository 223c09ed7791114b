"""Managed daemons: real servers, each in a private working directory."""
