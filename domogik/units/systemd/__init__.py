"""systemd itself: its commands, its bus, and what units are there."""
