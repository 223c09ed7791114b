"""What only plugins need: values, heartbeats, what starts with the manager."""
