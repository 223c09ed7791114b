"""What has a repository signed?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import attrs

#: where signatures are, below the address of a repository
METADATA = "metadata"


@attrs.frozen
class Target:
    """A file that was signed: its SHA-256 (hex) and its length in bytes."""

    sha256: str
    size: int

    @classmethod
    def of(cls, content: bytes) -> Target:
        """That content."""
        return cls(hashlib.sha256(content).hexdigest(), len(content))


@attrs.frozen
class Verified:
    """Everything that a repository has signed, by path below its address.

    `expires` is when the first of the signatures does (seconds since 1970). `digest` is the same
    for the same files, whenever they were signed; to make it takes a while where there are many.
    """

    files: Mapping[str, Target] = attrs.field(hash=False)
    expires: float
    digest: str = attrs.field(init=False)

    @digest.default
    def _digest_of_all(self) -> str:
        told = sorted((path, one.sha256, one.size) for path, one in self.files.items())
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()
