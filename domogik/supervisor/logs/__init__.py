"""The output of components: kept in rotated files, and read from them."""
