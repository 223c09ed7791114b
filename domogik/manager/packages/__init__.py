"""Packages of this host and of the others: listed, installed, updated, taken back."""
