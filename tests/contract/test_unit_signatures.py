"""The classes of FreedomBox's reference: arguments and answers, by Deferreds and by waiting."""

from __future__ import annotations

import inspect

import pytest

import domogik.units
from domogik.units import blocking

_DAEMON = (
    "(component_id: str, unit: str, strict_check: bool = False, "
    "listen_ports: list[tuple[int, str]] | None = None, alias: str | None = None)"
)
#: class, method, its signature without `self`, as the reference has it
REFERENCE = (
    ("Daemon", "__init__", _DAEMON),
    ("Daemon", "is_enabled", "() -> bool"),
    ("Daemon", "enable", "() -> None"),
    ("Daemon", "disable", "() -> None"),
    ("Daemon", "is_running", "() -> bool"),
    ("Daemon", "ensure_running", "() -> Iterator[bool]"),
    ("Daemon", "diagnose", "() -> list[DiagnosticCheck]"),
    ("RelatedDaemon", "__init__", "(component_id: str, unit: str)"),
    ("SharedDaemon", "__init__", _DAEMON),
    ("SharedDaemon", "disable", "() -> None"),
    ("SharedDaemon", "set_enabled", "(enabled: bool) -> None"),
    ("SharedDaemon", "diagnose", "() -> list[DiagnosticCheck]"),
    ("Component", "__init__", "(component_id: str)"),
    ("Component", "diagnose", "() -> list[DiagnosticCheck]"),
    ("Component", "has_diagnostics", "() -> bool"),
    ("Component", "repair", "(failed_checks: Sequence[DiagnosticCheck]) -> bool"),
    ("Component", "setup", "(old_version: int = 0) -> None"),
    ("FollowerComponent", "__init__", "(component_id: str, is_enabled: bool = False)"),
    ("FollowerComponent", "is_enabled", "() -> bool"),
    ("LeaderComponent", "is_enabled", "() -> bool"),
    ("App", "add", "(component: Component) -> App"),
    ("App", "remove", "(component_id: str) -> Component"),
    ("App", "get_component", "(component_id: str) -> Component"),
    ("App", "get_components_of_type", "(component_type: type[C]) -> Iterator[C]"),
    ("App", "setup", "(old_version: int = 0) -> None"),
    ("App", "enable", "() -> None"),
    ("App", "disable", "() -> None"),
    ("App", "uninstall", "() -> None"),
    ("App", "is_enabled", "() -> bool"),
    ("App", "set_enabled", "(enabled: bool) -> None"),
    ("App", "is_available", "() -> bool"),
    ("App", "diagnose", "() -> list[DiagnosticCheck]"),
    ("App", "has_diagnostics", "() -> bool"),
    ("App", "repair", "(failed_checks: Sequence[DiagnosticCheck]) -> bool"),
    ("App", "has_logs", "() -> bool"),
)
#: functions, as the reference has them
FUNCTIONS = (
    ("app_is_running", "(app: App) -> bool"),
    (
        "diagnose_port_listening",
        (
            "(port: int, kind: str = 'tcp', listen_address: str | None = None, "
            "component_id: str | None = None) -> DiagnosticCheck"
        ),
    ),
    (
        "diagnose_netcat",
        (
            "(host: str, port: int, remote_input: str = '', negate: bool = False, "
            "component_id: str | None = None) -> DiagnosticCheck"
        ),
    ),
)


def spelled(signature: inspect.Signature) -> str:
    """As the source has it: annotations are not evaluated there, so they come in quotes."""
    return str(signature).replace(" -> 'None'", " -> None").translate({ord("'"): None})


def without_self(function) -> inspect.Signature:
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


@pytest.mark.parametrize(("owner", "method", "signature"), REFERENCE)
def test_the_blocking_face_has_the_references_signatures_to_the_letter(
    owner, method, signature
) -> None:
    found = spelled(without_self(getattr(getattr(blocking, owner), method)))
    assert found == signature + (" -> None" if method == "__init__" else "")


@pytest.mark.parametrize(("owner", "method", "signature"), REFERENCE)
def test_the_deferred_face_has_the_same_arguments(owner, method, signature) -> None:
    found = spelled(without_self(getattr(getattr(domogik.units, owner), method)))
    assert found.split(" -> ")[0] == signature.split(" -> ")[0]


@pytest.mark.parametrize(("name", "signature"), FUNCTIONS)
def test_so_have_the_functions(name, signature) -> None:
    assert spelled(inspect.signature(getattr(blocking, name))) == signature.replace("'", "")


def test_both_faces_have_the_same_names() -> None:
    assert {*domogik.units.__all__} - {"UndeclaredUnit"} <= {*blocking.__all__}
