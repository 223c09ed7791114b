"""What can be asked of this host and of all hosts: one table of operations, each declared once."""
