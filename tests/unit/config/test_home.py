"""A home: made once, private, never overwritten, used by one manager at a time."""

import os
import stat
from pathlib import Path

import pytest

from domogik.config.home import Home, HomeInUse, NoToken, sanitised_host


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "some" / "where")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_option_comes_before_the_environment_and_that_before_the_users_directory(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.chdir(tmp_path)
    environment = {"DOMOGIK_HOME": "/srv/house"}
    assert Home.from_options("/opt/house", environment).path == Path("/opt/house")
    assert Home.from_options("house", environment).path == tmp_path / "house"
    assert Home.from_options(None, environment).path == Path("/srv/house")
    assert Home.from_options(None, {"DOMOGIK_HOME": ""}).path == Path("/home/ann/.domogik")


def test_an_empty_home_gets_everything_it_needs_and_all_of_it_is_private(home: Home) -> None:
    assert home.create() == ()
    for directory in (
        home.path.parent,
        home.path,
        home.plugins,
        home.externals,
        home.store,
        home.rinor,
        home.uploads,
        home.cache,
        home.log,
        home.run,
        home.data,
        home.daemons,
    ):
        assert _mode(directory) == 0o700, directory
    for file in (home.configuration, home.sources, home.token):
        assert _mode(file) == 0o600, file
    assert len(home.read_token()) >= 32


def test_what_is_there_is_never_overwritten(home: Home) -> None:
    home.path.mkdir(parents=True)
    home.configuration.write_text("[domogik]\n")
    home.sources.mkdir()
    home.token.symlink_to("nowhere")
    home.create()
    home.create()
    assert home.configuration.read_text() == "[domogik]\n"
    assert home.sources.is_dir()
    assert home.token.is_symlink()
    assert not home.token.exists()


def test_every_home_has_a_token_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
    one.create()
    other.create()
    token = one.read_token()
    one.create()
    assert one.read_token() == token != other.read_token()


def test_what_lets_other_users_in_is_said_and_left_alone(home: Home) -> None:
    home.create()
    home.token.chmod(0o644)
    home.plugins.chmod(0o777)
    token, plugins = home.create()
    assert str(home.token) in token
    assert "chmod 600" in token
    assert str(home.plugins) in plugins
    assert (_mode(home.token), _mode(home.plugins)) == (0o644, 0o777)


def test_a_token_that_cannot_be_had_is_said_with_its_path(home: Home) -> None:
    with pytest.raises(NoToken, match=r"admin\.token cannot be read"):
        home.read_token()
    home.create()
    home.token.write_text("\n")
    with pytest.raises(NoToken, match="is empty"):
        home.read_token()
    home.token.write_bytes(b"\xff\xfe")
    with pytest.raises(NoToken, match="contains no token"):
        home.read_token()


def test_a_second_manager_is_told_the_pid_of_the_first(home: Home) -> None:
    lock = home.lock()
    with pytest.raises(HomeInUse, match=f"pid {os.getpid()}") as caught:
        home.lock()
    assert caught.value.pid == os.getpid()
    lock.release()
    lock.release()
    home.lock().release()


def test_a_lock_is_not_inherited_by_programs_that_are_executed(home: Home) -> None:
    lock = home.lock()
    try:
        assert not os.get_inheritable(lock._descriptor)
    finally:
        lock.release()


def test_each_plugin_has_a_directory_of_its_own(home: Home) -> None:
    assert home.plugin_data("diskfree") == home.data / "plugins" / "diskfree"
    for name in ("", "..", "a/b", ".hidden", "a\n"):
        with pytest.raises(ValueError, match="is not the id of a plugin"):
            home.plugin_data(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("VM", "vm"),
        ("garden-house.example.org", "gardenhouse"),
        ("a_very_long_name_for_a_host", "averylongnamefor"),
        ("Küche", "kche"),
        ("---", "default"),
        ("", "default"),
    ],
)
def test_a_machines_name_becomes_one_that_xpl_can_say(name: str, expected: str) -> None:
    assert sanitised_host(name) == expected
