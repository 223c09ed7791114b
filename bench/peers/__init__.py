"""Supervisors side by side: ours, others, and what Python and Twisted cost with none around them.

An adapter makes a supervisor run N children of one command line; a measure looks at /proc and at
the kernel's clocks to say how long that took, never at what the supervisor says of itself.
"""
