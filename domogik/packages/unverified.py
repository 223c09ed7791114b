"""The former place of `http.unverified_tls`: a manager started before the move loads it from here.

See `verification`; the next release removes this file.
"""

from domogik.packages.http.unverified_tls import AnyCertificate

__all__ = ["AnyCertificate"]
