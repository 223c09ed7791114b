"""The programs: the only package that imports all others and connects their parts."""
