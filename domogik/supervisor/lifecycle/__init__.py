"""What happens next to a component, and the runner that carries it out."""
