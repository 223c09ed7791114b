"""nginx's language: what is written in it says what was meant, and nothing more."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock

from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import InvalidParameters
from domogik.daemons.core.parameters import Parameters
from domogik.daemons.nginx.daemon import NginxDaemon
from domogik.daemons.nginx.syntax import Directive, completed, directives, quoted
from domogik.daemons.web.media import media_types

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def told(text: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(one.words, one.within) for one in directives(text)]


@given(TEXT)
@example('a"; evil on; #')
@example("\\")
@example('\\"')
@example("a\\\nb")
@example("\\n")
def test_a_quoted_text_is_one_word_and_that_text(text: str) -> None:
    assert told(f"root {quoted(text)};") == [(("root", text), ())]


@given(st.text())
def test_any_text_at_all_is_read_to_its_end(text: str) -> None:
    for one in directives(text):
        assert 0 < one.end <= len(text)
        assert text[one.end - 1] in ";{"


def test_what_a_configuration_says() -> None:
    text = """\
# user nobody;
user 'a b' "c\\"d"; events{}
http { log_format x '$a "{" ;'; server { set $b ${a}{c; } # }
  map $x $y { default "}"; }
}
pid a\\;b;"""
    assert told(text) == [
        (("user", "a b", 'c"d'), ()),
        (("events",), ()),
        (("http",), ()),
        (("log_format", "x", '$a "{" ;'), ("http",)),
        (("server",), ("http",)),
        (("set", "$b", "${a}"), ("http", "server")),
        (("c",), ("http", "server", "set")),
        (("map", "$x", "$y"), ("http", "server")),
        (("default", "}"), ("http", "server", "map")),
        (("pid", "a\\;b"), ("http",)),
    ]


MAIN = {"daemon": "daemon off;", "pid": "pid nginx.pid;"}
HTTP = {"access_log": "access_log off;", "proxy_temp_path": "proxy_temp_path temp/proxy;"}


def test_what_is_left_out_is_added_and_the_lines_keep_their_numbers() -> None:
    text = "pid mine.pid;\nhttp {\n  access_log mine;\n}\n"
    made = completed(text, MAIN, HTTP)
    assert made.splitlines()[2:] == text.splitlines()[2:]
    assert [one[0] for one in told(made)] == [
        ("daemon", "off"),
        ("pid", "mine.pid"),
        ("http",),
        ("proxy_temp_path", "temp/proxy"),
        ("access_log", "mine"),
    ]
    assert completed(made, MAIN, HTTP) == made


@given(st.text())
def test_a_text_that_was_completed_is_complete(text: str) -> None:
    made = completed(text, MAIN, HTTP)
    assert completed(made, MAIN, HTTP) == made
    assert made.count("\n") == text.count("\n")


def daemon(path: str = "/somewhere", **options: object) -> NginxDaemon:
    made = NginxDaemon(MemoryReactorClock())
    parameters = Parameters("nginx", 8080, options={**NginxDaemon.defaults, **options})
    made._directory = WorkingDirectory(Path(path), "nginx")
    made._parameters = made.completed(parameters, None)
    return made


def shape(made: NginxDaemon) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.name, one.within) for one in directives(made.configuration()["service.conf"])]


@given(TEXT.filter(lambda text: "$" not in text))
@example('"; } evil { "')
@example("a\nb; evil on;")
def test_no_name_of_a_directory_says_anything_else(name: str) -> None:
    assert shape(daemon(root=name)) == shape(daemon())
    assert shape(daemon(path=f"/{name}")) == shape(daemon())
    made = daemon(root=f"/{name}")
    [root] = [
        one.words[1]
        for one in directives(made.configuration()["service.conf"])
        if one.name == "root"
    ]
    assert Path(root) == made.root


def test_a_dollar_is_refused_where_it_would_be_a_variable() -> None:
    with pytest.raises(InvalidParameters, match="variable"):
        daemon(root="/srv/$host").configuration()
    assert daemon("/$host", config_file_string="events {}").configuration()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"workers": "2"}, "workers"),
        ({"connections": 1}, "connections"),
        ({"server": 3}, "server"),
        ({"config_file_string": "a", "config_file": "b"}, "exclude"),
        ({"config_file_string": "daemon on;"}, "daemon"),
        ({"root": "a\0b"}, "root"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidParameters, match=word):
        daemon(**options)


def test_media_types_are_written_as_nginx_reads_them() -> None:
    found = {one.name: one.words[1:] for one in directives(daemon().configuration()["mime.types"])}
    assert found.pop("types") == ()
    assert found == media_types()
    assert found["text/html"] == ("htm", "html")
    endings = [ending for endings in found.values() for ending in endings]
    assert len(endings) == len(set(endings))


def test_where_it_is_reached() -> None:
    made = daemon()
    assert made.url == "http://127.0.0.1:8080/"
    made._parameters = Parameters("nginx", 80, "::")
    assert made.url == "http://[::1]:80/"


def test_a_refusal_counts_when_it_is_its_last_word() -> None:
    tried = "1 [emerg] 1#1: bind() to 127.0.0.1:80 failed (98: Address already in use)\n"
    assert not daemon().has_refused("")
    assert not daemon().has_refused("1 [notice] signal process started\n" + tried * 5)
    assert daemon().has_refused(tried * 5 + "1 [emerg] 1#1: still could not bind()\n")
    assert daemon().has_refused('1 [emerg] 1#1: open() "/nowhere" failed\n')


def test_a_directive_ends_where_its_text_does() -> None:
    assert list(directives("a b; c {")) == [
        Directive(("a", "b"), (), 4),
        Directive(("c",), (), 8),
    ]
