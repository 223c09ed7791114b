"""The xPL hub, which forwards every message to every program of this computer."""
