"""The classes of the managed daemons' documentation: names, positions of arguments, messages.

The signatures are those of the originals; what ours have beyond them comes after, or by name.
"""

from __future__ import annotations

import inspect

import pytest

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
