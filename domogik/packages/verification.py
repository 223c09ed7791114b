"""The former place of `signing.verification`: a manager started before the move loads it from here.

An installation over a running manager replaces its files; what it has not loaded by then it must
find until its upgrade. The next release removes this file.
"""

from domogik.packages.signing.verification import ROUNDS, NotTrusted, is_root, verify

__all__ = ["ROUNDS", "NotTrusted", "is_root", "verify"]
