"""Fakes that stand for the real things in tests, shipped with the product."""
