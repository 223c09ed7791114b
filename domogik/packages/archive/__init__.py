"""Archives of packages: their members, and changes of files that are one step."""
