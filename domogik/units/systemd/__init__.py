"""The back end: systemd's commands, its bus, and the status of units."""
