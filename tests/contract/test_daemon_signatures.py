"""The classes of the managed daemons' documentation: names, positions of arguments, messages.

The signatures are those of the originals; what ours have beyond them comes after, or by name.
"""

from __future__ import annotations

import inspect

import pytest
from twisted.internet.testing import MemoryReactorClock

import domogik.daemons
from domogik.daemons import (
    ApacheDaemon,
    ManagedDaemon,
    ManagedDaemonError,
    ManagedRabbitMQ,
    MySQLDaemon,
    NginxDaemon,
    PostgresDaemon,
    RedisDaemon,
)
from domogik.daemons.core.arguments import password_or_callback

_TOLD = ("callback", "error_callback")

#: class, method, the original's arguments in their order, how many of them have to be given
ORIGINALS = (
    (RedisDaemon, "configure", ("working_dir", "port", "bind_host", *_TOLD, "password")),
    (
        PostgresDaemon,
        "configure",
        ("working_dir", "postgres_binaries_path", "port", "bind_host", *_TOLD, "password"),
    ),
    (MySQLDaemon, "configure", ("working_dir", "port", "bind_host", *_TOLD, "password")),
    (NginxDaemon, "configure", ("working_dir", "port_to_monitor", "config_file_string", *_TOLD)),
    (ApacheDaemon, "configure", ("working_dir", "port", *_TOLD)),
    (ManagedRabbitMQ, "configure", ("working_dir", "port", "bind_host", "nodepurpose")),
    (ManagedDaemon, "start", _TOLD),
    (ManagedDaemon, "start_if_not_running", _TOLD),
    (ManagedDaemon, "stop", (*_TOLD, "sig")),
    (ManagedDaemon, "destroy", _TOLD),
    (ManagedDaemon, "is_running", ("keyword",)),
    (ManagedDaemon, "get_port", ()),
    (ManagedDaemon, "get_pid", ()),
    (ManagedDaemon, "get_pid_path", ()),
    (ManagedDaemon, "get_client", ()),
    (ManagedDaemon, "load_parameters", ("working_dir",)),
    (ManagedDaemon, "save_parameters", ()),
    (ManagedDaemon, "get_parameters_path", ("working_dir",)),
    (ManagedDaemon, "get_configuration_path", ("working_dir",)),
    (ApacheDaemon, "get_config_dir", ()),
    (ApacheDaemon, "get_error_log", ()),
    (ApacheDaemon, "graceful", _TOLD),
)


@pytest.mark.parametrize(("owner", "method", "names"), ORIGINALS)
def test_arguments_may_be_given_by_the_originals_positions(owner, method, names) -> None:
    parameters = list(inspect.signature(getattr(owner, method)).parameters.values())[1:]
    by_position = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    assert tuple(one.name for one in by_position)[: len(names)] == names
    required = {one.name for one in parameters if one.default is one.empty} - {"options"}
    assert required <= {"working_dir"}


def test_the_names_of_the_documentation_are_in_the_package() -> None:
    for name in domogik.daemons.__all__:
        assert getattr(domogik.daemons, name).__name__ in (name, "RabbitMQDaemon")
    with pytest.raises(AttributeError, match="GopherDaemon"):
        domogik.daemons.GopherDaemon  # noqa: B018
    for owner, *_ in ORIGINALS:
        assert issubclass(owner.error, ManagedDaemonError)


def sorted_out(owner, *args, **named):
    """What a call of `configure` is understood as."""
    found = {}

    class Recording(owner):
        def _configured(self, working_dir, callback, error_callback, password, given, problem=""):
            callback, password = password_or_callback(callback, password)
            found.update(given, dir=working_dir, password=password, problem=problem)
            found.update(callbacks=(callback, error_callback))

    Recording(object()).configure(*args, **named)
    return {name: value for name, value in found.items() if value not in (None, "", (None, None))}


def good(_sentence):
    pass


def bad(_sentence, _error):
    pass


HERE = {"bind_host": "127.0.0.1", "dir": "/d"}
THERE = {"bind_host": "::1", "dir": "/d"}
TOLD = {"callbacks": (good, bad)}


@pytest.mark.parametrize(
    ("owner", "args", "named", "understood"),
    [
        # the originals' orders
        (
            RedisDaemon,
            ("/d", 5, "::1", good, bad, "w"),
            {},
            {**THERE, **TOLD, "port": 5, "password": "w"},
        ),
        (MySQLDaemon, ("/d", 5, "::1", good, bad), {}, {**THERE, **TOLD, "port": 5}),
        (
            PostgresDaemon,
            ("/d", "/bin", 5, "::1", good, bad, "w"),
            {},
            {**THERE, **TOLD, "port": 5, "password": "w", "binaries": "/bin"},
        ),
        (PostgresDaemon, ("/d", None, 5), {}, {**HERE, "port": 5}),
        (
            NginxDaemon,
            ("/d", 5, "events {}", good, bad),
            {},
            {**HERE, **TOLD, "port": 5, "config_file_string": "events {}"},
        ),
        (ApacheDaemon, ("/d", 5, good, bad), {}, {**HERE, **TOLD, "port": 5}),
        (
            ManagedRabbitMQ,
            ("/d", 5, "::1"),
            {"nodepurpose": "n"},
            {**THERE, "port": 5, "nodepurpose": "n"},
        ),
        # today's documented order: port, bind_host, password
        (RedisDaemon, ("/d", 5, "::1", "w"), {}, {**THERE, "port": 5, "password": "w"}),
        (PostgresDaemon, ("/d", 5, "::1", "w"), {}, {**THERE, "port": 5, "password": "w"}),
        (PostgresDaemon, ("/d", None, "::1"), {}, {**THERE}),
        (PostgresDaemon, ("/d", 5), {"bind_host": "::1"}, {**THERE, "port": 5}),
        (PostgresDaemon, ("/d", 5), {"password": "w"}, {**HERE, "port": 5, "password": "w"}),
        (NginxDaemon, ("/d", 5, "::1"), {}, {**THERE, "port": 5}),
        (NginxDaemon, ("/d",), {"port": 5, "bind_host": "::1"}, {**THERE, "port": 5}),
        (ApacheDaemon, ("/d", 5, "::1"), {}, {**THERE, "port": 5}),
    ],
)
def test_both_orders_of_arguments_are_understood(owner, args, named, understood) -> None:
    assert sorted_out(owner, *args, **named) == understood


def test_what_could_be_either_names_the_keywords() -> None:
    problem = sorted_out(ManagedRabbitMQ, "/d", 5, "::1", "what")["problem"]
    assert "'what'" in problem
    assert "nodepurpose= or password=" in problem


def test_no_signature_shows_what_only_this_program_passes() -> None:
    for owner, method, _ in ORIGINALS:
        assert "problem" not in inspect.signature(getattr(owner, method)).parameters


def test_an_error_callback_may_leave_out_the_exception() -> None:
    said = []
    RedisDaemon(MemoryReactorClock()).start(None, lambda sentence: said.append(sentence))
    RedisDaemon(MemoryReactorClock()).start(None, lambda *given: said.append(given))
    sentence, (same, error) = said
    assert sentence == same == str(error) == "this Redis is not configured"
    assert isinstance(error, RedisDaemon.error)


@pytest.mark.parametrize("method", ["backup", "restore"])
def test_what_is_no_path_of_a_backup_is_the_kinds_own_error(method) -> None:
    failed = []
    getattr(RedisDaemon(MemoryReactorClock()), method)(None).addErrback(failed.append)
    (refused,) = failed
    assert refused.check(RedisDaemon.error)
    assert "None is not the path of a file" in refused.getErrorMessage()
