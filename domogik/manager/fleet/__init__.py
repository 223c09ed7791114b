"""The other hosts, and all hosts as one."""
