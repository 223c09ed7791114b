"""How many HTTP requests were answered."""

from __future__ import annotations

from collections import Counter

import attrs


@attrs.define(eq=False)
class Requests:
    """How many requests were answered, by method and status."""

    answered: Counter[tuple[str, int]] = attrs.field(factory=Counter)

    def count(self, method: str, status: int) -> None:
        """Count an answer; methods that HTTP does not define are counted as one, `other`."""
        known = method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
        self.answered[method if known else "other", status] += 1
