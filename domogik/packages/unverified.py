"""The former location of `http.unverified_tls`, for a manager started before the move.

See `verification`; the next release removes this file.
"""

from domogik.packages.http.unverified_tls import AnyCertificate

__all__ = ["AnyCertificate"]
