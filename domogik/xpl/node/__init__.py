"""One process on the network: its socket, its identities, what they hear and say."""
