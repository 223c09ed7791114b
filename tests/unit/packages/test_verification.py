"""Metadata of any kind: a repository is trusted, or it is said why not."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domogik.packages.publish.signer import Signer
from domogik.packages.signing.targets import Target, Verified
from domogik.packages.signing.verification import NotTrusted, Wanted, is_root, verify

FILES = {"data": Target("ab" * 32, 12)}
NAMES = ("2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a repository serves that was signed when this test was written, for a thousand years."""
    directory = tmp_path_factory.mktemp("signed")
    signer = Signer(directory / "keys", lambda: 32_000_000_000.0)
    (directory / "site").mkdir()
    signer.check(directory / "site")
    signer.sign(directory / "site", FILES)()
    return directory / "site" / "metadata"


def outcome(metadata: Path, changed: dict[str, bytes | None]) -> Verified:
    """As a client for which some of the files are others."""
    known: dict[str, bytes | None] = {}
    with tempfile.TemporaryDirectory() as trust:
        while True:
            anchor = changed.get("1.root.json") or (metadata / "1.root.json").read_bytes()
            found = verify(Path(trust), anchor, known)
            if isinstance(found, Verified):
                return found
            assert isinstance(found, Wanted)
            assert found.name in NAMES
            assert found.name not in known
            path = metadata / found.name
            real = path.read_bytes() if path.exists() else None
            known[found.name] = changed.get(found.name, real)


def test_what_was_signed_is_verified(metadata: Path) -> None:
    assert outcome(metadata, {}).files == FILES


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(("1.root.json", *NAMES)), st.binary(max_size=300))
def test_any_bytes(metadata: Path, name: str, content: bytes) -> None:
    with pytest.raises(NotTrusted) as error:
        outcome(metadata, {name: content or b"?"})
    assert str(error.value)
    assert not is_root(content)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(("1.root.json", *NAMES[1:])), JSON)
def test_any_value_anywhere_in_it(
    metadata: Path, data: st.DataObject, name: str, value: object
) -> None:
    document = json.loads((metadata / name).read_text())
    holder, key = data.draw(st.sampled_from(list(places(document))))
    holder[key] = value
    changed = json.dumps(document).encode()
    try:
        found = outcome(metadata, {name: changed})
    except NotTrusted:
        return
    # what is not signed, or says the same
    assert found.files == FILES


def places(document: Any) -> Any:
    """Everything in it, with what it is in."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        yield document, key
        if isinstance(value, dict | list):
            yield from places(value)


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[" * 20000, b"\xff", b"<html>"])
def test_what_is_no_root_file(content: bytes) -> None:
    assert not is_root(content)
