"""HTTP: from the socket to one request and its one reply."""
