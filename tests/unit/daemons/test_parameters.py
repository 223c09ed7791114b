"""service.json and the password beside it: what goes in comes out, and nothing else does."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import InvalidParameters
from domogik.daemons.core.parameters import Parameters

PASSWORDS = st.text(
    st.characters(exclude_characters="\0\r\n", exclude_categories=("Cs",)), min_size=1, max_size=50
)
OPTIONS = st.dictionaries(
    st.text("abc_", min_size=1, max_size=5),
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.lists(st.text()),
    max_size=3,
)


@pytest.fixture
def directory(tmp_path: Path) -> WorkingDirectory:
    made = WorkingDirectory(tmp_path / "it", "redis")
    made.claim()
    return made


@given(PASSWORDS | st.none(), st.integers(1, 65535), OPTIONS, st.booleans())
def test_what_is_saved_is_what_is_loaded(directory, password, port, options, initialised):
    parameters = Parameters("redis", port, "::1", password, None, initialised, options)
    parameters.save(directory)
    assert Parameters.load(directory) == parameters


@given(st.binary(max_size=200))
def test_any_bytes_are_parameters_or_refused_with_the_name_of_the_file(directory, content):
    (directory / "service.json").write_bytes(content)
    with pytest.raises(InvalidParameters, match=r"service\.json"):
        Parameters.load(directory)


@given(
    st.dictionaries(
        st.sampled_from(["format", "kind", "port", "host", "run_as", "options", "initialised"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()),
    )
)
def test_so_is_any_object(directory, changes):
    content = {"format": 1, "kind": "redis", "port": 1, "host": "::", "run_as": None, "options": {}}
    (directory / "service.json").write_text(json.dumps(content | changes))
    try:
        loaded = Parameters.load(directory)
    except InvalidParameters as error:
        assert "service.json" in str(error)
    else:
        assert isinstance(loaded.port, int)


def test_the_password_is_in_a_private_file_of_its_own_until_there_is_none(directory):
    Parameters("redis", 1, password="secret word").save(directory)
    assert "secret" not in (directory / "service.json").read_text()
    for name in ("service.json", "password"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    assert "secret" not in repr(Parameters.load(directory))
    Parameters("redis", 1).save(directory)
    assert not (directory / "password").exists()
    assert Parameters.load(directory).password is None


@pytest.mark.parametrize("password", ["", "a\nb", "a\rb", "a\0b", "x" * 1025])
def test_what_is_no_password_is_refused(password):
    with pytest.raises(InvalidParameters):
        Parameters("redis", 1, password=password)


@pytest.mark.parametrize("port", [0, 65536, -1, True, 1.5, "80", None])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(InvalidParameters, match="port"):
        Parameters("redis", port)


@pytest.mark.parametrize("host", ["localhost", "", "1.2.3", None, 5])
def test_what_is_no_address_is_refused(host):
    with pytest.raises(InvalidParameters, match="address"):
        Parameters("redis", 1, host)


@pytest.mark.parametrize("user", ["", 5])
def test_what_is_no_user_is_refused(user):
    with pytest.raises(InvalidParameters, match="is not the name of a user"):
        Parameters("redis", 1, run_as=user)


def test_who_listens_everywhere_is_reached_here():
    assert Parameters("redis", 1, "0.0.0.0").reachable_host == "127.0.0.1"
    assert Parameters("redis", 1, "::").reachable_host == "::1"
    assert Parameters("redis", 1, "127.0.0.2").reachable_host == "127.0.0.2"
