"""The whole table: the modules that are imported here declare their operations in it."""

from domogik.manager.operations import components, configuration, health, packages, table

__all__ = ["components", "configuration", "health", "packages", "table"]
