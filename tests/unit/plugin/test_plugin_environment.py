"""Where a plugin finds itself, told by a manager or guessed in a shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from domogik.config.plugin_environment import InvalidPluginEnvironment, PluginEnvironment


def shell(home: Path, **more: str) -> dict[str, str]:
    return {"DOMOGIK_HOME": str(home), "DOMOGIK_HOST": "vm", **more}


def test_what_a_manager_says_counts(tmp_path: Path) -> None:
    (tmp_path / "domogik.cfg").write_text("[domogik]\nhostname = other\nxpl_port = 1\n")
    told = PluginEnvironment.of(
        {
            "DOMOGIK_HOME": str(tmp_path),
            "DOMOGIK_NAME": "diskfree",
            "DOMOGIK_HOST": "vm",
            "DOMOGIK_DATA": "/data",
            "XPL_ADDRESS": "127.0.0.1",
            "XPL_BROADCAST": "192.168.1.255",
            "XPL_PORT": "4000",
            "NOTIFY_SOCKET": "@notify",
        },
        "ignored",
    )
    assert told == PluginEnvironment(
        name="diskfree",
        host="vm",
        data=Path("/data"),
        address="127.0.0.1",
        broadcast="192.168.1.255",
        port=4000,
        notify_socket="@notify",
    )


def test_in_a_shell_the_configuration_of_the_home_counts(tmp_path: Path) -> None:
    (tmp_path / "domogik.cfg").write_text(
        "[domogik]\nhostname = My-Host.lan\nbind_interface = 127.0.0.2\nquery_xpl_timeout = 3\n"
        "config_provider = main\nlog_level = debug\n"
    )
    guessed = PluginEnvironment.of({"DOMOGIK_HOME": str(tmp_path)}, "hello")
    assert (guessed.name, guessed.host, guessed.address) == ("hello", "myhost", "127.0.0.2")
    assert (guessed.query_timeout, guessed.config_provider) == (3.0, "main")
    assert (guessed.log_level, guessed.port) == ("debug", 3865)
    assert guessed.data == tmp_path / "data" / "plugins" / "hello"


def test_a_hub_on_any_free_port_is_found(tmp_path: Path) -> None:
    (tmp_path / "domogik.cfg").write_text("[domogik]\nxpl_port = 0\n")
    assert PluginEnvironment.of(shell(tmp_path), "hello").port == 3865
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "xpl.port").write_text("41234\n")
    assert PluginEnvironment.of(shell(tmp_path), "hello").port == 41234


def test_a_broken_configuration_is_complained_about_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "domogik.cfg").write_text("[domogik\n")
    found = PluginEnvironment.of(shell(tmp_path), "hello")
    assert "domogik.cfg:1" in found.complaint
    assert found.port == 3865


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DOMOGIK_NAME", "disk-free"),
        ("DOMOGIK_NAME", "waytoolong"),
        ("DOMOGIK_NAME", "../../x"),
        ("XPL_PORT", "70000"),
        ("XPL_PORT", "-1"),
        ("XPL_PORT", "9" * 5000),
        ("XPL_ADDRESS", "localhost"),
        ("XPL_BROADCAST", "everybody"),
    ],
)
def test_what_no_plugin_can_live_with_is_said(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(InvalidPluginEnvironment) as refused:
        PluginEnvironment.of(shell(tmp_path, **{variable: value}), "hello")
    assert value in str(refused.value)


@pytest.mark.parametrize("text", ["soon", "-1", "0", "1e9", "9" * 5000])
def test_a_time_out_that_is_none_is_ten_seconds(tmp_path: Path, text: str) -> None:
    (tmp_path / "domogik.cfg").write_text(f"[domogik]\nquery_xpl_timeout = {text}\n")
    assert PluginEnvironment.of(shell(tmp_path), "hello").query_timeout == 10.0


def test_daemons_are_known_by_the_names_of_their_variables(tmp_path: Path) -> None:
    told = PluginEnvironment.of(
        shell(tmp_path, DOMOGIK_DAEMON_MY_CACHE="redis://:secret@h:1/0"), "demo"
    )
    assert told.daemons == {"MY_CACHE": "redis://:secret@h:1/0"}
    assert "secret" not in repr(told)
