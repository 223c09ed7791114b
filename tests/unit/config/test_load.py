"""What a person may write into a configuration file, and what is said about what is wrong there."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.config.keys import KNOWN
from domogik.config.load import BrokenConfiguration, Configuration, Setting, load
from domogik.config.syntax import InvalidLine, statements


def _loaded(tmp_path: Path, text: str | bytes) -> Configuration:
    path = tmp_path / "domogik.cfg"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load([path])


def _setting(value: str) -> Setting:
    return Setting("domogik", "some_key", value, Path("/etc/domogik.cfg"), 12)


def _value(configuration: Configuration, section: str, key: str) -> str | None:
    setting = configuration.get(section, key)
    return None if setting is None else setting.value


def test_the_homes_file_wins_over_the_systems_key_by_key(tmp_path: Path) -> None:
    system, home = tmp_path / "system.cfg", tmp_path / "home.cfg"
    system.write_text("[domogik]\nhub = external\nxpl_port = 3865\n")
    home.write_text("[rest]\nrest_server_port = 0\n[domogik]\nhub = auto\n")
    configuration = load([system, home])
    assert _value(configuration, "domogik", "hub") == "auto"
    assert _value(configuration, "domogik", "xpl_port") == "3865"
    assert _value(configuration, "rest", "rest_server_port") == "0"


def test_every_value_knows_its_file_and_line(tmp_path: Path) -> None:
    configuration = _loaded(tmp_path, "# a comment\n\n[domogik]\n; another\nhub = auto\n")
    setting = configuration.get("domogik", "hub")
    assert setting is not None
    assert setting.place == f"{tmp_path / 'domogik.cfg'}:5"


def test_a_missing_file_says_nothing(tmp_path: Path) -> None:
    assert load([tmp_path / "none.cfg", tmp_path / "no" / "such.cfg"]) == Configuration()


def test_percent_signs_and_hashes_in_a_value_are_taken_literally(tmp_path: Path) -> None:
    configuration = _loaded(tmp_path, "[daemon:cache]\npassword = 50%(a) # ; x=y\n")
    assert _value(configuration, "daemon:cache", "password") == "50%(a) # ; x=y"


def test_sections_named_after_components_keep_their_colons(tmp_path: Path) -> None:
    configuration = _loaded(
        tmp_path, "[component:plugin:diskfree]\nnice = 5\n[component:core:rest]\nnice = 1\n"
    )
    assert _value(configuration, "component:plugin:diskfree", "nice") == "5"
    assert configuration.sections("component:") == (
        "component:plugin:diskfree",
        "component:core:rest",
    )


def test_windows_line_ends_a_byte_order_mark_and_indentation_do_not_matter(tmp_path: Path) -> None:
    configuration = _loaded(tmp_path, b"\xef\xbb\xbf[domogik]\r\n  HUB\t=  auto  \r\n")
    assert _value(configuration, "domogik", "hub") == "auto"


def test_a_key_without_a_value_is_empty(tmp_path: Path) -> None:
    assert _value(_loaded(tmp_path, "[domogik]\npackage_path =\n"), "domogik", "package_path") == ""


def test_a_key_given_twice_is_reported_and_the_later_one_counts(tmp_path: Path) -> None:
    configuration = _loaded(tmp_path, "[a]\nkey = 1\n[b]\nx = 1\n[a]\nkey = 2\n")
    assert _value(configuration, "a", "key") == "2"
    (notice,) = configuration.notices
    assert "domogik.cfg:6:" in notice
    assert "line 2" in notice


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (b"[domogik]\nhub auto\n", 2, "key = value"),
        (b"hub = auto\n", 1, "before the first [section]"),
        (b"[domogik\n", 1, "expected [section]"),
        (b"[domogik] # main\n", 1, "nothing else on the line"),
        (b"[]\n", 1, "expected [section]"),
        (b"[a[b]]\n", 1, "expected [section]"),
        (b"\n[domogik]\n= auto\n", 3, "key = value"),
        (b"[domogik]\nhostname = caf\xe9\n", 2, "not UTF-8"),
        (b"[domogik]\nhostname = a\x00b\n", 2, "control character"),
    ],
)
def test_a_line_that_cannot_be_understood_is_named(
    tmp_path: Path, text: bytes, line: int, words: str
) -> None:
    with pytest.raises(BrokenConfiguration) as caught:
        _loaded(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'domogik.cfg'}:{line}: ")
    assert words in str(caught.value)
    assert caught.value.line == line


def test_a_file_of_absurd_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenConfiguration, match=r"domogik\.cfg: cannot be read: Larger than"):
        _loaded(tmp_path, b"# comment\n" * 200_000)


def test_a_directory_or_a_pipe_in_place_of_the_file_is_refused_and_not_waited_for(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(BrokenConfiguration, match=r"Not a regular file|Is a directory"):
            load([path])


@given(st.binary(max_size=400))
def test_any_bytes_are_understood_or_refused_with_a_line(content: bytes) -> None:
    try:
        list(statements(content))
    except InvalidLine as error:
        assert 1 <= error.line <= content.count(b"\n") + 1


def test_unknown_sections_and_keys_are_reported_with_file_and_line(tmp_path: Path) -> None:
    configuration = _loaded(
        tmp_path,
        "[domogik]\nhubb = auto\n[mq]\nport = 1\n[plugins]\nanything = enabled\n"
        "[component:plugin:x]\nnice = 1\nfoo = 1\n[daemon:cache]\nmaxmemory = 1\n[daemon:]\n",
    )
    path = tmp_path / "domogik.cfg"
    assert configuration.unknown(KNOWN) == [
        f"{path}:3: no section [mq] is known; it is ignored",
        f"{path}:12: no section [daemon:] is known; it is ignored",
        f"{path}:2: no key 'hubb' is known in [domogik]; it is ignored",
        f"{path}:9: no key 'foo' is known in [component:plugin:x]; it is ignored",
    ]


def test_numbers_times_truth_sizes_and_lists_are_read() -> None:
    assert _setting("3865").integer(0, 65535) == 3865
    assert _setting("-5").integer() == -5
    assert _setting("0.5").seconds() == 0.5
    assert [_setting(word).boolean() for word in ("yes", "False", "ON", "0")] == [
        True,
        False,
        True,
        False,
    ]
    assert [_setting(text).size() for text in ("500", "10M", "512 KiB", "2g", "1kB")] == [
        500,
        10 * 1024**2,
        512 * 1024,
        2 * 1024**3,
        1024,
    ]
    assert _setting("10.0.0.1, 10.0.0.2  *").words() == ("10.0.0.1", "10.0.0.2", "*")
    assert _setting("").words() == ()
    assert _setting("Embedded").choice("auto", "embedded") == "embedded"


@pytest.mark.parametrize(
    ("read", "value", "words"),
    [
        (lambda setting: setting.integer(), "many", "must be a whole number"),
        (lambda setting: setting.integer(), "٣", "must be a whole number"),
        (lambda setting: setting.integer(0, 65535), "70000", "must be at most 65535"),
        (lambda setting: setting.integer(0, 65535), "-1", "must be at least 0"),
        (lambda setting: setting.integer(), "9" * 5000, "must be a whole number"),
        (lambda setting: setting.seconds(), "nan", "must be a number of seconds"),
        (lambda setting: setting.seconds(), "-1", "must be a number of seconds"),
        (
            lambda setting: setting.seconds(),
            "1e9",
            "must be a number of seconds from 0 to 31622400",
        ),
        (lambda setting: setting.seconds(), "", "must be a number of seconds"),
        (lambda setting: setting.boolean(), "maybe", "must be yes or no"),
        (lambda setting: setting.size(), "10 apples", "must be a size"),
        (
            lambda setting: setting.choice("auto", "embedded", "external"),
            "own",
            "must be auto, embedded or external, not 'own'",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_what_it_must_be(
    read, value: str, words: str
) -> None:
    with pytest.raises(BrokenConfiguration) as caught:
        read(_setting(value))
    assert str(caught.value).startswith("/etc/domogik.cfg:12: some_key in [domogik] ")
    assert words in str(caught.value)
    assert len(str(caught.value)) < 250
