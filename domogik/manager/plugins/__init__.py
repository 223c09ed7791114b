"""The plugins of this host: their states, heartbeats, values and automatic start."""
