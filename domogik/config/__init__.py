"""Where things are: the files of a home and what they say."""
