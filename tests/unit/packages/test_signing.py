"""Keys and metadata that a publisher makes, over the years."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata

from domogik.packages.publish.repository import CannotSign, Signature
from domogik.packages.publish.signer import Signer
from domogik.packages.signing.targets import Target
from domogik.packages.signing.verification import NotTrusted, Wanted, verify

DAY = 86400
START = 1_900_000_000.0
FILES = {"data": Target("ab" * 32, 12), "download/plugin/a/1": Target("cd" * 32, 7)}


class Publisher:
    def __init__(self, directory: Path) -> None:
        self.target, self.keys = directory / "site", directory / "keys"
        self.target.mkdir()
        self.time = START

    def sign(self, files: dict[str, Target] = FILES, keys: Path | None = None) -> Signature:
        signer = Signer(keys or self.keys, lambda: self.time)
        signer.check(self.target)
        return signer.sign(self.target, files)()

    @property
    def metadata(self) -> set[str]:
        return {path.name for path in (self.target / "metadata").iterdir()}

    def read(self, name: str) -> Metadata:
        return Metadata.from_file(str(self.target / "metadata" / name))

    def verified(self, directory: Path, anchor: bytes | None = None) -> object:
        """As a client that fetches whatever is wanted."""
        directory.mkdir(exist_ok=True)
        known: dict[str, bytes | None] = {}
        root = anchor or (self.target / "metadata/1.root.json").read_bytes()
        while isinstance(outcome := verify(directory, root, known), Wanted):
            assert outcome.name not in known
            path = self.target / "metadata" / outcome.name
            known[outcome.name] = path.read_bytes() if path.exists() else None
        return outcome


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path)


def test_all_of_it_is_valid_for_a_year(publisher: Publisher) -> None:
    made = publisher.sign()
    assert made.made
    assert made.expires == START + 365 * DAY
    assert made.root == publisher.target / "metadata/1.root.json"
    assert publisher.metadata == {
        "1.root.json",
        "1.snapshot.json",
        "1.targets.json",
        "timestamp.json",
    }
    root = publisher.read("1.root.json").signed
    assert root.expires.timestamp() >= made.expires


def test_signed_again_the_versions_rise_and_one_state_before_stays(publisher: Publisher) -> None:
    for _ in range(3):
        made = publisher.sign()
        publisher.time += DAY
    assert not made.made
    assert made.expires == START + 367 * DAY
    assert publisher.metadata == {
        "1.root.json",
        *(f"{version}.{role}.json" for version in (2, 3) for role in ("snapshot", "targets")),
        "timestamp.json",
    }
    assert publisher.read("timestamp.json").signed.version == 3


def test_the_root_is_made_anew_before_less_than_a_year_is_left(publisher: Publisher) -> None:
    for day in range(0, 800, 5):
        publisher.time = START + day * DAY
        made = publisher.sign()
        assert made.expires == publisher.time + 365 * DAY
    roots = [name for name in publisher.metadata if name.endswith("root.json")]
    assert 20 < len(roots) <= 26


def test_no_version_comes_again_although_files_are_lost(publisher: Publisher) -> None:
    for _ in range(3):
        publisher.sign()
    (publisher.target / "metadata/timestamp.json").unlink()
    publisher.sign()
    assert publisher.read("timestamp.json").signed.version == 4


def test_a_client_knows_every_file_with_digest_and_length(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.time = datetime.now(UTC).timestamp()
    made = publisher.sign()
    verified = publisher.verified(tmp_path / "trust")
    assert verified.files == FILES
    assert verified.expires == made.expires
    publisher.time += DAY
    publisher.sign()
    again = publisher.verified(tmp_path / "trust")
    assert again.digest == verified.digest
    assert again.expires == verified.expires + DAY


def test_a_new_signing_key_is_vouched_for_by_the_root_key(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.time = datetime.now(UTC).timestamp()
    publisher.sign()
    publisher.verified(tmp_path / "trust")
    (publisher.keys / "signing.pem").unlink()
    assert publisher.sign().made
    assert "2.root.json" in publisher.metadata
    assert publisher.verified(tmp_path / "trust").files == FILES


def test_a_new_root_key_is_vouched_for_by_the_one_before(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.time = datetime.now(UTC).timestamp()
    publisher.sign()
    (publisher.keys / "root.pem").rename(publisher.keys / "previous-root.pem")
    publisher.sign()
    publisher.sign()
    assert len(publisher.read("2.root.json").signatures) == 2
    assert "3.root.json" not in publisher.metadata
    assert publisher.verified(tmp_path / "trust").files == FILES


def test_the_root_key_may_be_kept_elsewhere_until_it_is_needed(publisher: Publisher) -> None:
    publisher.sign()
    key = publisher.keys / "root.pem"
    safe = publisher.keys.with_name("safe.pem")
    key.rename(safe)
    publisher.time += 100 * DAY
    # of what is valid, the first that ends counts
    assert publisher.sign().expires == START + 396 * DAY
    assert not key.exists()
    publisher.time = START + 397 * DAY
    with pytest.raises(CannotSign, match=r"root\.pem is needed"):
        publisher.sign()
    safe.rename(key)
    assert publisher.sign().expires == publisher.time + 365 * DAY


def test_a_lost_signing_key_is_not_made_anew_without_the_root_key(publisher: Publisher) -> None:
    publisher.sign()
    for name in ("root.pem", "signing.pem"):
        (publisher.keys / name).unlink()
    with pytest.raises(CannotSign, match="--keys"):
        publisher.sign()
    assert list(publisher.keys.iterdir()) == []


def test_other_keys_sign_nothing(publisher: Publisher, tmp_path: Path) -> None:
    publisher.sign()
    with pytest.raises(CannotSign, match="--keys"):
        publisher.sign(keys=tmp_path / "new")
    (tmp_path / "stranger").mkdir()
    stranger = Publisher(tmp_path / "stranger")
    stranger.sign()
    before = publisher.read("timestamp.json").to_bytes()
    with pytest.raises(CannotSign, match="other keys"):
        publisher.sign(keys=stranger.keys)
    assert publisher.read("timestamp.json").to_bytes() == before


def test_keys_are_private_and_not_served(publisher: Publisher) -> None:
    with pytest.raises(CannotSign, match="part of what is served"):
        publisher.sign(keys=publisher.target / "keys")
    assert not (publisher.target / "keys").exists()
    publisher.sign()
    assert publisher.keys.stat().st_mode & 0o777 == 0o700
    for key in publisher.keys.iterdir():
        assert key.stat().st_mode & 0o777 == 0o600
    (publisher.keys / "root.pem").chmod(0o640)
    with pytest.raises(CannotSign, match="chmod 600"):
        publisher.sign()


@pytest.mark.parametrize("content", [b"", b"no key", b"\x00" * 100])
def test_what_is_no_key_is_told(publisher: Publisher, content: bytes) -> None:
    publisher.sign()
    (publisher.keys / "signing.pem").write_bytes(content)
    with pytest.raises(CannotSign, match=r"signing\.pem is no private key"):
        publisher.sign()


def test_a_root_that_was_put_there_is_not_followed(publisher: Publisher) -> None:
    publisher.sign()
    root = publisher.read("1.root.json")
    root.signed.version = 2
    root.to_file(str(publisher.target / "metadata/2.root.json"))
    with pytest.raises(CannotSign, match=r"2\.root\.json is no good"):
        publisher.sign()


@pytest.mark.parametrize("name", ["1.root.json", "timestamp.json"])
def test_metadata_that_cannot_be_read_are_told(publisher: Publisher, name: str) -> None:
    publisher.sign()
    (publisher.target / "metadata" / name).write_text("{")
    with pytest.raises(CannotSign, match=name):
        publisher.sign()


def test_what_is_out_of_date_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    publisher.time = datetime.now(UTC).timestamp() - 380 * DAY
    publisher.sign()
    with pytest.raises(NotTrusted, match="out of date"):
        publisher.verified(tmp_path / "trust")
