"""Measured against peers and against the physical limit, in one run; the ratio is the result."""
