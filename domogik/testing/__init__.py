"""Fakes for tests, shipped with the product.

`PluginHarness` is for tests of a plugin; see `domogik.testing.harness`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domogik.testing.harness import PluginHarness

__all__ = ["PluginHarness"]


def __getattr__(name: str) -> object:
    """Import the harness, and with it Twisted, on first use."""
    if name != "PluginHarness":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from domogik.testing.harness import PluginHarness

    return PluginHarness
