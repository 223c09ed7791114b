"""What an app consists of, and the components that stand for units."""
