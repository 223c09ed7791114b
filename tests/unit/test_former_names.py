"""Names that tests of plugins use go on working."""

import warnings

import pytest

from domogik.testing import PluginHarness


def test_the_former_name_of_the_harness_is_the_harness_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="is now domogik.testing.PluginHarness"):
        from domogik.testing.street import Street
    assert Street is PluginHarness


def test_the_rest_of_its_module_is_there_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from domogik.testing.street import PATIENCE_S, PluginProcess
    assert PluginProcess is not None
    assert PATIENCE_S == 60.0
