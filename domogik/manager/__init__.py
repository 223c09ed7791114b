"""The manager: the components of a host, the operations on them, and those of the other hosts."""
