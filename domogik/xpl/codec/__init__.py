"""Messages, their encoding and their fragments."""
