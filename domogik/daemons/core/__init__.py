"""What all managed daemons have in common, from `configure` to `destroy`."""
