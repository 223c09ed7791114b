"""The hub: every message to every program of this computer."""
