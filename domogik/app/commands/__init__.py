"""The commands that start daemons: their options, and how their processes run."""
