"""What the web servers have in common."""
