"""Fakes that stand for the real things in tests, shipped with the product.

`PluginHarness` is for tests of a plugin; see `domogik.testing.harness`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domogik.testing.harness import PluginHarness

__all__ = ["PluginHarness"]


def __getattr__(name: str) -> object:
    """Import the harness, and Twisted with it, when it is asked for."""
    if name != "PluginHarness":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from domogik.testing.harness import PluginHarness

    return PluginHarness
