"""The dependencies of packages: whether they are installed, and where they are available."""
