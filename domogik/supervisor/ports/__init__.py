"""TCP and UDP ports of this host: which are free, and which process uses one."""
