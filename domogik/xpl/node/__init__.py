"""A process on the xPL network: its socket, its identities and the messages they exchange."""
