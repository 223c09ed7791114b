"""A manager that runs while this version is installed over it loads some modules only then."""

from importlib import import_module

import pytest


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("domogik.packages.verification", ("is_root", "ROUNDS", "NotTrusted", "verify")),
        ("domogik.packages.unverified", ("AnyCertificate",)),
        ("domogik.cli.program", ("forget_output",)),
    ],
)
def test_what_it_loads_late_is_where_it_looks(module: str, names: tuple[str, ...]) -> None:
    loaded = import_module(module)
    assert all(hasattr(loaded, name) for name in names)
