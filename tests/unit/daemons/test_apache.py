"""Apache's language: what is written in it says what was meant, and nothing more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock

from domogik.daemons.apache import ApacheDaemon, quoted
from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import InvalidParameters, ManagedDaemonError
from domogik.daemons.core.parameters import Parameters

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def words(line: str) -> list[str]:
    """As `ap_getword_conf` of httpd 2.4 takes a line apart."""
    found = []
    rest = line.strip()
    while rest:
        if rest[0] in "\"'":
            quote, word, position = rest[0], "", 1
            while position < len(rest) and rest[position] != quote:
                is_escape = rest[position] == "\\" and rest[position + 1 : position + 2] in (
                    "\\",
                    quote,
                )
                position += is_escape
                word += rest[position]
                position += 1
            rest = rest[position + 1 :]
        else:
            word = re.match(r"\S+", rest)[0]
            rest = rest[len(word) :]
        found.append(word)
        rest = rest.lstrip()
    return found


@given(TEXT)
@example('a" b')
@example('a\\" b')
@example("a\\\\")
@example("\\")
@example("${PATH}")
def test_a_quoted_text_is_one_word_and_that_text_or_refused(text: str) -> None:
    try:
        made = quoted(text)
    except InvalidParameters:
        # a wildcard, a control character, or a variable
        assert re.search(r"[*?\[\]\x00-\x1f]|\$\{", text)
    else:
        assert words(f"DocumentRoot {made}") == ["DocumentRoot", text]
        assert "\n" not in made
        assert "${" not in made
        assert not made.endswith("\\")


def daemon(place: Path, path: str = "/somewhere", **options: object) -> ApacheDaemon:
    for name in ("mime", "dir", "authz_core", "mpm_event", "mpm_prefork", "rewrite"):
        (place / f"mod_{name}.so").touch()
    made = ApacheDaemon(MemoryReactorClock())
    given = {**ApacheDaemon.defaults, "modules_directory": str(place), **options}
    made._directory = WorkingDirectory(Path(path), "apache")
    made._parameters = made.completed(Parameters("apache", 8080, options=given), None)
    return made


def lines(made: ApacheDaemon) -> dict[str, list[str]]:
    return {line.split()[0]: words(line)[1:] for line in made._lines()}


@given(TEXT)
@example('"\nUser root')
def test_no_name_of_a_directory_says_anything_else(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    modules = tmp_path_factory.getbasetemp()
    assume("\0" not in name)
    usual = lines(daemon(modules))
    try:
        made = daemon(modules, path=f"/{name}", root=f"/{name}")
        found = lines(made)
    except InvalidParameters:
        return
    assert found.keys() == usual.keys()
    assert Path(found["DocumentRoot"][0]) == made.root
    assert Path(found["ServerRoot"][0]) == made.directory.path


def test_only_modules_that_are_there_and_only_files_of_its_own(tmp_path: Path) -> None:
    text = daemon(tmp_path, "/home/it", modules=["rewrite"]).configuration()["service.conf"]
    loaded = re.findall(r"LoadModule (\w+)", text)
    assert loaded == [
        "mpm_event_module",
        "authz_core_module",
        "dir_module",
        "mime_module",
        "rewrite_module",
    ]
    assert "Listen 127.0.0.1:8080\n" in text
    for path in re.findall(r'"(?:file:)?(/[^"]*)"', text):
        assert path.startswith(("/home/it", str(tmp_path))), path


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManagedDaemonError, match="gopher"):
        daemon(tmp_path, modules=["gopher"]).configuration()
    with pytest.raises(ManagedDaemonError, match="modules_directory"):
        daemon(tmp_path, modules_directory="/nowhere").configuration()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"mpm": "winnt"}, "mpm"),
        ({"modules": "rewrite"}, "modules"),
        ({"modules": ["a b"]}, "modules"),
        ({"workers": 0}, "workers"),
        ({"workers": True}, "workers"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, options: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidParameters, match=word):
        daemon(tmp_path, **options)


@given(st.integers(1, 500))
def test_as_many_requests_at_once_as_it_was_told(
    tmp_path_factory: pytest.TempPathFactory, workers: int
) -> None:
    modules = tmp_path_factory.getbasetemp()
    found = lines(daemon(modules, workers=workers))
    threads, most = int(found["ThreadsPerChild"][0]), int(found["MaxRequestWorkers"][0])
    assert most >= workers
    assert most - workers < threads
    assert most % threads == 0
    assert int(found["ServerLimit"][0]) > most // threads
    found = lines(daemon(modules, workers=workers, mpm="prefork"))
    assert found["ServerLimit"] == found["MaxRequestWorkers"] == [str(workers)]
