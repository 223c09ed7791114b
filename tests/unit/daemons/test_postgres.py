"""What PostgreSQL reads, and which of its releases is taken."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from domogik.daemons.postgres.daemon import quoted
from domogik.daemons.postgres.programs import Programs, candidates, fitting, parsed

_ESCAPES = {"n": "\n", "\\": "\\"}


def understood(text: str) -> str:
    """As `GUC_scanstr` of PostgreSQL 15 reads a quoted value."""
    assert re.fullmatch(r"'([^'\\\n]|''|\\.)*'", text, re.DOTALL)
    inside = text[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", lambda found: _ESCAPES[found[1]], inside)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_is_read_as_it_was_meant(text: str) -> None:
    # backslashes first: a doubled quote after one is no escape
    assert understood(quoted(text)) == text


def test_other_values() -> None:
    assert [quoted(value) for value in (True, False, 7, "a'b")] == ["on", "off", "'7'", "'a''b'"]


def test_versions_are_read_as_the_server_says_them() -> None:
    place = Path("/bin")
    for said, series, version in (
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", "15", "15.18"),
        ("postgres (PostgreSQL) 9.6.24\n", "9.6", "9.6"),
        ("postgres (PostgreSQL) 18beta1\n", "18", "18.0"),
    ):
        assert parsed(place, said) == Programs(place, series, version)
    assert parsed(place, "bash: postgres: command not found") is None


def test_the_newest_that_fits_the_data_is_taken() -> None:
    nine, fifteen, sixteen = (
        Programs(Path(version), version.partition(".")[0], version)
        for version in ("9.6", "15.18", "16.2")
    )
    assert fitting([nine, fifteen, sixteen], None) == sixteen
    assert fitting([nine, fifteen, sixteen], "15") == fifteen
    assert fitting([nine, sixteen], "15") is None


def test_servers_are_found_where_distributions_put_them(tmp_path: Path) -> None:
    def install(place: str, *, mode: int = 0o755) -> Path:
        server = tmp_path / place / "postgres"
        server.parent.mkdir(parents=True)
        server.touch(mode=mode)
        return server.parent

    debian = [install(f"usr/lib/postgresql/{major}/bin") for major in (13, 15)]
    redhat = install("usr/pgsql-16/bin")
    own = install("opt/bin")
    install("usr/local/pgsql/bin", mode=0o644)
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/postgres").symlink_to(debian[1] / "postgres")
    path = f"{tmp_path}/usr/bin:{own}:/nowhere::"
    assert candidates(path, tmp_path) == [debian[1], own, debian[0], redhat]
