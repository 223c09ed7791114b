"""The face for new programs and for the page: nouns, verbs, real status codes."""
