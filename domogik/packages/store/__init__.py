"""What is installed on this host, and every change of it."""
