"""Signs a repository: keys, and the metadata of its content.

`root.pem` decides whose signatures count and may be kept elsewhere; `signing.pem` signs the
content. The metadata follow the TUF specification 1.0, with names by version;
docs/adr/0006-signed-repositories.md explains the choices.

Import this module only to sign, since importing `tuf` is slow.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from domogik.config.files import Ownership, create_exclusively, read_bounded, write_atomically
from domogik.packages.publish.repository import CannotSign, Signature
from domogik.packages.signing.targets import METADATA, Target

ROOT_KEY, SIGNING_KEY = "root.pem", "signing.pem"
#: where the root key is put that another one is to follow
PREVIOUS_ROOT_KEY = "previous-root.pem"
VALID = timedelta(days=365)
#: signed anew when less than `VALID` is left: so all is valid a year, and there are few versions
_ROOT_VALID = timedelta(days=396)
_SIGNED_BY_KEY = ("targets", "snapshot", "timestamp")
_VERSIONED = re.compile(r"([1-9][0-9]{0,8})\.(root|snapshot|targets)\.json")
_LARGEST_BYTES = 32 * 1024 * 1024
_KEY_BYTES = 65536
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PUBLIC = 0o644


@attrs.define(eq=False)
class Signer:
    """Signs repositories with the keys in a directory, which are created if missing.

    `now()` returns Unix time. All methods block.
    """

    keys: Path
    _now: Callable[[], float]
    _opened: _Keys | None = attrs.field(default=None, init=False)

    def check(self, target: Path) -> None:
        """Raise `CannotSign` before anything is built if signing would fail."""
        if self.keys.resolve().is_relative_to(target.resolve()):
            raise CannotSign(
                f"{self.keys} is part of what is served: keep the keys elsewhere, with --keys"
            )
        self._opened = self._open(target)
        self._root(_Metadata(target / METADATA), self._opened)

    def sign(self, target: Path, files: Mapping[str, Target]) -> Callable[[], Signature]:
        """Write the metadata for the files of the repository in `target`.

        They become valid when the returned function is called. Call `check` before. Raises
        `CannotSign` and `OSError`.
        """
        directory = target / METADATA
        directory.mkdir(exist_ok=True)
        metadata, keys = _Metadata(directory), self._opened
        assert keys is not None
        old, root = self._root(metadata, keys)
        if root is not old:
            metadata.write(f"{root.signed.version}.root.json", root.to_bytes())
        until = self._today() + VALID
        version = metadata.next_version()
        signed = {path: _target_file(path, one) for path, one in files.items()}
        targets = Targets(version=version, expires=until, targets=signed)
        meta = {"targets.json": metadata.add(keys.signing, targets)}
        snapshot = Snapshot(version=version, expires=until, meta=meta)
        snapshot_meta = metadata.add(keys.signing, snapshot)
        timestamp = _signed(
            keys.signing,
            Timestamp(version=version, expires=until, snapshot_meta=snapshot_meta),
        )
        expires = min(until, root.signed.expires)

        def publish() -> Signature:
            metadata.write("timestamp.json", timestamp, durable=True)
            metadata.remove_before(version - 1)
            first = directory / f"{metadata.first_root()}.root.json"
            return Signature(self.keys, keys.made, first, expires.timestamp())

        return publish

    def _today(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC).replace(microsecond=0)

    def _open(self, target: Path) -> _Keys:
        self.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_signed = (target / METADATA / "timestamp.json").exists()
        names = [name for name in (ROOT_KEY, SIGNING_KEY) if not (self.keys / name).exists()]
        previous = self._load(PREVIOUS_ROOT_KEY)
        if is_signed and len(names) == 2 and previous is None:
            raise CannotSign(
                f"{target} is signed already, and its keys are not in {self.keys}: say with --keys"
                " where they are"
            )
        # a root key that is kept elsewhere is not missing
        kept_elsewhere = is_signed and previous is None
        made = [name for name in names if name != ROOT_KEY or not kept_elsewhere]
        for name in made:
            key = CryptoSigner.generate_ed25519()
            create_exclusively(self.keys / name, key.private_bytes)
        signing = self._load(SIGNING_KEY)
        assert signing is not None
        return _Keys(self._load(ROOT_KEY), signing, previous, bool(made))

    def _load(self, name: str) -> CryptoSigner | None:
        path = self.keys / name
        try:
            content = read_bounded(path, _KEY_BYTES)
            mode = path.stat().st_mode
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CannotSign(f"{path} cannot be read: {error.strerror}") from error
        if mode & _OTHERS:
            raise CannotSign(f"{path} can be read by others: chmod 600 {path}")
        try:
            key = load_pem_private_key(content, None)
        except (ValueError, TypeError) as error:
            raise CannotSign(f"{path} is no private key without a password: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise CannotSign(f"{path} is no Ed25519 key")
        return CryptoSigner(key)

    def _root(
        self, metadata: _Metadata, keys: _Keys
    ) -> tuple[Metadata[Root] | None, Metadata[Root]]:
        """Return the newest existing root, and the one to use now."""
        old = metadata.newest_root()
        if old is not None and not keys.may_follow(old.signed):
            raise CannotSign(
                f"{metadata.directory.parent} is signed with other keys than those in {self.keys}:"
                " say with --keys where they are"
            )
        today = self._today()
        if old is not None and keys.are_those_of(old.signed):
            enough = today + VALID if keys.root is not None else today
            if old.signed.expires > enough:
                return old, old
        if keys.root is None:
            raise CannotSign(f"{self.keys / ROOT_KEY} is needed: what is trusted has to change")
        version = 1 if old is None else old.signed.version + 1
        root = Root(version=version, expires=today + _ROOT_VALID, consistent_snapshot=True)
        root.add_key(keys.root.public_key, "root")
        for role in _SIGNED_BY_KEY:
            root.add_key(keys.signing.public_key, role)
        new = Metadata(root)
        for key in (keys.root, keys.previous):
            if key is not None:
                new.sign(key, append=True)
        return old, new


@attrs.frozen
class _Keys:
    """The keys; `made` means that they are new."""

    root: CryptoSigner | None
    signing: CryptoSigner
    previous: CryptoSigner | None
    made: bool

    def may_follow(self, root: Root) -> bool:
        """Return whether clients that trust `root` will trust these keys."""
        mine = _ids(one for one in (self.root, self.previous) if one is not None)
        if self.root is None:
            return self.signing.public_key.keyid in root.roles["timestamp"].keyids
        return bool(mine & set(root.roles["root"].keyids))

    def are_those_of(self, root: Root) -> bool:
        """Return whether `root` names exactly these keys."""
        mine = [self.signing.public_key.keyid]
        if any(root.roles[role].keyids != mine for role in _SIGNED_BY_KEY):
            return False
        return self.root is None or root.roles["root"].keyids == [self.root.public_key.keyid]


@attrs.define(eq=False)
class _Metadata:
    """The directory of metadata that clients read."""

    directory: Path

    def write(self, name: str, content: bytes, *, durable: bool = False) -> None:
        public = Ownership(_PUBLIC, os.geteuid(), os.getegid())
        write_atomically(self.directory / name, content, public, durable=durable)

    def add(self, key: CryptoSigner, signed: Targets | Snapshot) -> MetaFile:
        """Write metadata signed by `key`; return its description for the file above it."""
        content = _signed(key, signed)
        self.write(f"{signed.version}.{signed.type}.json", content)
        target = Target.of(content)
        return MetaFile(signed.version, target.size, {"sha256": target.sha256})

    def newest_root(self) -> Metadata[Root] | None:
        versions = self._versions("root")
        if not versions:
            return None
        path = self.directory / f"{max(versions)}.root.json"
        try:
            root = Metadata[Root].from_bytes(read_bounded(path, _LARGEST_BYTES))
            root.signed.verify_delegate(Root.type, root.signed_bytes, root.signatures)
        except (RepositoryError, ValueError, OSError) as error:
            # the server's operator may have put it there
            raise CannotSign(f"{path} is no good: {error}; remove it if it is not yours") from error
        return root

    def first_root(self) -> int:
        return min(self._versions("root"))

    def next_version(self) -> int:
        """Return a version that no client has seen."""
        seen = {*self._versions("snapshot"), *self._versions("targets"), 0}
        try:
            content = read_bounded(self.directory / "timestamp.json", _LARGEST_BYTES)
            seen.add(Metadata[Any].from_bytes(content).signed.version)
        except FileNotFoundError:
            pass
        except (RepositoryError, OSError) as error:
            raise CannotSign(f"{self.directory}/timestamp.json cannot be read: {error}") from error
        return max(seen) + 1

    def remove_before(self, version: int) -> None:
        """Remove older metadata than a reading client may need."""
        for role in ("snapshot", "targets"):
            for old in self._versions(role):
                if old < version:
                    (self.directory / f"{old}.{role}.json").unlink(missing_ok=True)

    def _versions(self, role: str) -> set[int]:
        if not self.directory.is_dir():
            return set()
        found = (_VERSIONED.fullmatch(path.name) for path in self.directory.iterdir())
        return {int(one[1]) for one in found if one is not None and one[2] == role}


def _signed(key: CryptoSigner, signed: Signed) -> bytes:
    metadata = Metadata[Any](signed)
    metadata.sign(key)
    return metadata.to_bytes()


def _target_file(path: str, target: Target) -> TargetFile:
    return TargetFile(target.size, {"sha256": target.sha256}, path)


def _ids(keys: Iterable[CryptoSigner]) -> set[str]:
    return {key.public_key.keyid for key in keys}
