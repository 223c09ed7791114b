"""The former location of `signing.verification`, for a manager started before the move.

An installation over a running manager replaces its files; modules that it has not loaded yet have
to stay importable until its upgrade. The next release removes this file.
"""

from domogik.packages.signing.verification import ROUNDS, NotTrusted, is_root, verify

__all__ = ["ROUNDS", "NotTrusted", "is_root", "verify"]
