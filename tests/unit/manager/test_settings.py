"""What `[domogik]` and `[plugins]` say to the manager."""

from pathlib import Path

import pytest

from domogik.config.home import Home
from domogik.config.load import BrokenConfiguration, load
from domogik.manager.settings import ManagerSettings, enabled_plugins

HOME = Home(Path("/somewhere/home"))


def settings(tmp_path, text="", section="[domogik]\n"):
    file = tmp_path / "domogik.cfg"
    file.write_text(section + text)
    return ManagerSettings.from_configuration(load([file]), HOME)


def test_without_a_file_the_defaults_hold(tmp_path):
    found = settings(tmp_path)
    assert found.package_mode is True
    assert (found.src_prefixes, found.hub, found.trusted) == ((), "auto", ())
    assert (found.config_provider, found.query_timeout_s) == (None, 10.0)
    assert (found.log_level, found.log_dir, found.run_dir, found.notices) == (
        "info",
        None,
        None,
        (),
    )
    assert found.hostname
    assert found.hostname.isalnum()


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("", True),
        ("src_prefix = /src\n", False),
        ("package_path =\n", True),
        ("package_path = /var/lib/domogik\n", True),
        ("package_path = /var/lib/domogik\nsrc_prefix = /src\n", True),
        ("package_path =\nsrc_prefix = /src\n", False),
    ],
)
def test_package_mode_is_on_unless_it_is_switched_off(tmp_path, text, mode):
    assert settings(tmp_path, text).package_mode is mode


def test_a_package_path_elsewhere_is_said_to_be_a_switch_only(tmp_path):
    (sentence,) = settings(tmp_path, "package_path = /var/lib/domogik/\n").notices
    assert sentence == (
        f"{tmp_path}/domogik.cfg:2: package_path only switches package mode on; packages lie in "
        "/somewhere/home/packages, not in /var/lib/domogik/"
    )
    for own in ("/somewhere/home/packages", "packages", "/somewhere/home/", ""):
        assert settings(tmp_path, f"package_path = {own}\n").notices == ()


def test_paths_count_from_the_home_and_know_peoples_homes(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    found = settings(
        tmp_path,
        "src_prefix = ~/src, packages/dev ,,/opt/x\nlog_dir_path = ~/log\npid_dir_path=r\n",
    )
    assert found.src_prefixes == (
        Path("/home/ann/src"),
        Path("/somewhere/home/packages/dev"),
        Path("/opt/x"),
    )
    assert (found.log_dir, found.run_dir) == (Path("/home/ann/log"), Path("/somewhere/home/r"))


def test_words_are_read(tmp_path):
    found = settings(
        tmp_path,
        "hostname = attic\nhub = External\nxpl_trusted = 192.0.2.7, 10.0.0.0/8 *\n"
        "config_provider = cellar\nquery_xpl_timeout = 2.5\nlog_level = debug\n",
    )
    assert (found.hostname, found.hub, found.config_provider) == ("attic", "external", "cellar")
    assert found.trusted == ("192.0.2.7", "10.0.0.0/8", "*")
    assert (found.query_timeout_s, found.log_level) == (2.5, "debug")


@pytest.mark.parametrize(
    "line",
    [
        "hostname = My-Host",
        "hostname = " + "x" * 17,
        "config_provider = cellar.lan",
        "hub = sometimes",
        "xpl_trusted = 192.0.2.7, kitchen",
        "query_xpl_timeout = soon",
        "log_level = loud",
        "src_prefix = ~nobodyhasthisname/src",
        "log_dir_path = ~nobodyhasthisname/log",
    ],
)
def test_what_cannot_be_meant_is_refused_with_file_and_line(tmp_path, line):
    with pytest.raises(BrokenConfiguration) as caught:
        settings(tmp_path, f"\n{line}\n")
    assert str(caught.value).startswith(f"{tmp_path}/domogik.cfg:3: {line.split()[0]}")


def test_only_the_word_enabled_enables_a_plugin(tmp_path):
    file = tmp_path / "domogik.cfg"
    file.write_text("[plugins]\na = enabled\nb = ENABLED\nc =\nd = disabled\n")
    assert enabled_plugins(load([file])) == {"a", "b"}
    file.write_text("[plugins]\na = enabled\nb = enabeld\n")
    with pytest.raises(BrokenConfiguration, match=r"cfg:3: b in .plugins. must be enabled or"):
        enabled_plugins(load([file]))
