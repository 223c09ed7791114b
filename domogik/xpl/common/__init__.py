"""The names that plugins of Domogik 0.2 and 0.3 import, thin over `domogik.plugin`.

A new plugin uses `domogik.plugin`; these modules add nothing that it lacks.
"""
