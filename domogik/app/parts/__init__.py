"""What a process of ours is put together from."""
