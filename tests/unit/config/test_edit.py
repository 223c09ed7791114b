"""Changing one value never touches anything else in a file that people care about."""

import fcntl
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.config import edit
from domogik.config.edit import ConfigurationBusy, InvalidValue, remove_value, set_value
from domogik.config.load import BrokenConfiguration
from domogik.config.syntax import Assignment, fold, statements

FILE = """\
# my house
[domogik]
# hub = auto
hub =   embedded

[plugins]
# diskfree = enabled
clock=enabled

[rest]
rest_server_port = 1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "domogik.cfg"
    path.write_text(FILE)
    return path


def test_a_value_is_replaced_where_it_stands(path: Path) -> None:
    assert set_value(path, "domogik", "hub", "auto")
    assert set_value(path, "plugins", "clock", "disabled")
    assert path.read_text() == FILE.replace("  embedded", "  auto").replace(
        "clock=enabled", "clock=disabled"
    )


def test_a_commented_default_stays_and_the_new_key_follows_the_header(path: Path) -> None:
    assert set_value(path, "plugins", "diskfree", "enabled")
    assert path.read_text() == FILE.replace("[plugins]\n", "[plugins]\ndiskfree = enabled\n")


def test_a_missing_section_is_added_at_the_end(path: Path) -> None:
    set_value(path, "component:plugin:clock", "nice", "5")
    assert path.read_text() == FILE + "\n[component:plugin:clock]\nnice = 5\n"


def test_a_file_without_a_last_line_end_gets_one(path: Path) -> None:
    path.write_text("[rest]\nrest_server_port = 1")
    set_value(path, "plugins", "clock", "enabled")
    assert path.read_text() == "[rest]\nrest_server_port = 1\n\n[plugins]\nclock = enabled\n"
    path.write_text("[plugins]")
    set_value(path, "plugins", "clock", "enabled")
    assert path.read_text() == "[plugins]\nclock = enabled\n"


def test_a_missing_file_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "new.cfg"
    assert set_value(path, "plugins", "clock", "enabled")
    assert path.read_text() == "[plugins]\nclock = enabled\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_windows_line_ends_are_kept(path: Path) -> None:
    path.write_bytes(FILE.replace("\n", "\r\n").encode())
    set_value(path, "domogik", "hub", "auto")
    set_value(path, "plugins", "diskfree", "enabled")
    expected = FILE.replace("  embedded", "  auto").replace(
        "[plugins]\n", "[plugins]\ndiskfree = enabled\n"
    )
    assert path.read_bytes() == expected.replace("\n", "\r\n").encode()


def test_an_empty_value_is_filled_in(path: Path) -> None:
    path.write_text("[plugins]\na =\nb=\n")
    set_value(path, "plugins", "a", "enabled")
    set_value(path, "plugins", "b", "enabled")
    assert path.read_text() == "[plugins]\na = enabled\nb=enabled\n"


def test_of_a_key_given_twice_the_one_that_counts_is_changed(path: Path) -> None:
    path.write_text("[plugins]\na = enabled\nA = enabled\n")
    set_value(path, "plugins", "a", "disabled")
    assert path.read_text() == "[plugins]\na = enabled\nA = disabled\n"


def test_removing_takes_every_line_of_the_key_and_no_comment(path: Path) -> None:
    path.write_text(FILE + "[plugins]\nclock = enabled\n")
    assert remove_value(path, "plugins", "clock")
    assert path.read_text() == FILE.replace("clock=enabled\n", "") + "[plugins]\n"
    assert not remove_value(path, "plugins", "clock")


def test_a_file_that_says_it_already_is_not_written(path: Path) -> None:
    before = path.stat()
    assert not set_value(path, "domogik", "HUB", "embedded")
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_permissions_are_kept(path: Path) -> None:
    path.chmod(0o640)
    set_value(path, "domogik", "hub", "auto")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_of_a_link_the_target_is_changed(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "domogik.cfg"
    link.parent.mkdir()
    link.symlink_to(path)
    set_value(link, "domogik", "hub", "auto")
    assert link.is_symlink()
    assert "auto\n\n" in path.read_text()


def test_a_file_that_cannot_be_understood_is_left_alone(path: Path) -> None:
    path.write_text("[plugins]\nwhat is this\n")
    with pytest.raises(BrokenConfiguration, match=r"domogik\.cfg:2: "):
        set_value(path, "plugins", "clock", "enabled")
    assert path.read_text() == "[plugins]\nwhat is this\n"


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("plugins", "a\nb", "enabled"),
        ("plugins", "a=b", "enabled"),
        ("plugins", "#a", "enabled"),
        ("plugins", "[a", "enabled"),
        ("plugins", "", "enabled"),
        ("plugins", "a", "enabled\n[rest]"),
        ("plugins", "a", "enabled\x00"),
        ("plugins", "a", " enabled"),
        ("plugins", "a", "\ud800"),
        ("plug]ins", "a", "enabled"),
        ("plug\nins", "a", "enabled"),
        (" plugins", "a", "enabled"),
        ("", "a", "enabled"),
    ],
)
def test_what_could_not_be_read_back_is_refused(
    path: Path, section: str, key: str, value: str
) -> None:
    with pytest.raises(InvalidValue):
        set_value(path, section, key, value)
    assert path.read_text() == FILE


def test_a_lock_that_is_never_given_back_is_said(path: Path, monkeypatch) -> None:
    monkeypatch.setattr(edit, "_ATTEMPTS", 2)
    with (path.parent / ".domogik.cfg.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationBusy, match="locked by another program"):
            set_value(path, "plugins", "clock", "disabled")


def test_nothing_but_the_lock_file_is_left_beside_the_file(path: Path) -> None:
    set_value(path, "domogik", "hub", "auto")
    assert sorted(os.listdir(path.parent)) == [".domogik.cfg.lock", "domogik.cfg"]


_WORDS = st.text("ab01=#;[ é", max_size=6).map(str.strip)
_LINES = st.one_of(
    st.sampled_from(["", "# a = 1", "; b", "[s]", "[s]", "[t]"]),
    st.builds("{} = {}".format, st.sampled_from("abAB"), _WORDS),
)
_FILES = st.builds(
    lambda lines, end, last: end.join(["[s]", *lines]) + (end if last else ""),
    st.lists(_LINES, max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)


def _values(content: bytes) -> dict[tuple[str, str], str]:
    return {
        (one.section, one.key): one.value
        for one in statements(content)
        if isinstance(one, Assignment)
    }


@given(_FILES, st.sampled_from(["s", "t", "u:v"]), st.sampled_from(["a", "B", "c"]), _WORDS)
def test_a_changed_file_says_the_new_value_and_every_other_line_as_before(
    text: str, section: str, key: str, value: str
) -> None:
    content = text.encode()
    changed = edit._with_value(content, section, fold(key), value)
    assert _values(changed) == {**_values(content), (section, fold(key)): value}
    kept = edit._without_value(content, section, fold(key))
    assert (section, fold(key)) not in _values(kept)
    assert _comments(changed) == _comments(kept) == _comments(content)


def _comments(content: bytes) -> list[bytes]:
    return [line.strip() for line in content.split(b"\n") if line.startswith((b"#", b";"))]
