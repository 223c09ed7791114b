"""The signed files of a repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import attrs

#: where signatures are, below the address of a repository
METADATA = "metadata"


@attrs.frozen
class Target:
    """A signed file: its SHA-256 (hex) and its length in bytes."""

    sha256: str
    size: int

    @classmethod
    def of(cls, content: bytes) -> Target:
        """Return the target with that content."""
        return cls(hashlib.sha256(content).hexdigest(), len(content))


@attrs.frozen
class Verified:
    """All signed files of a repository, by path below its URL.

    `expires` is the Unix time at which the first signature expires. `digest` is the same for the
    same files, whenever they were signed; computing it takes time for many files.
    """

    files: Mapping[str, Target] = attrs.field(hash=False)
    expires: float
    digest: str = attrs.field(init=False)

    @digest.default
    def _digest_of_all(self) -> str:
        told = sorted((path, one.sha256, one.size) for path, one in self.files.items())
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()
