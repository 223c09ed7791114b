"""The whole table: the modules that are imported here declare their operations in it."""

from domogik.manager.operations import components, configuration, health, packages
from domogik.manager.operations.table import TABLE

__all__ = ["TABLE", "components", "configuration", "health", "packages"]
