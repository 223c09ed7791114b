"""`dmg_dump` and `dmg_send`: xPL from a terminal, without Twisted."""
