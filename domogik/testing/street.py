"""The former name of `domogik.testing.PluginHarness`, for tests that use it."""

import warnings

from domogik.testing import harness


def __getattr__(name: str) -> object:
    """Return `PluginHarness` as `Street`, with a warning, and the rest of its module as it is."""
    if name == "Street":
        instead = "domogik.testing.street.Street is now domogik.testing.PluginHarness"
        warnings.warn(instead, DeprecationWarning, stacklevel=2)
        return harness.PluginHarness
    return getattr(harness, name)
