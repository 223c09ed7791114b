"""The installed packages of this host, and changes of them."""
