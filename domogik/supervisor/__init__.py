"""Workroom: keeps processes running. Knows no xPL; others tell it ALIVE or SILENT."""
