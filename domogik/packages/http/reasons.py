"""Errors of Twisted and OpenSSL about failed requests, as sentences."""

from __future__ import annotations

import os

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectingCancelledError, ConnectionClosed
from twisted.python.failure import Failure

#: where pyOpenSSL is missing, Twisted says `NotImplementedError` when it is first needed
NO_TLS = "https needs TLS for Python, which is not installed here: pip install 'domogik[tls]'"
_UNTRUSTED = "its certificate is out of date, or of an authority that is not trusted here"
_OTHER_NAME = "its certificate is for another name"


def was_cancelled(error: Exception) -> bool:
    """Return whether it failed because we cancelled it."""
    return any(
        failure.check(CancelledError, ConnectingCancelledError) for failure in _causes(error)
    )


def unconnected(error: Exception) -> str:
    """Return why there was no connection, without the error number."""
    number = getattr(error, "osError", None)
    return os.strerror(number) if isinstance(number, int) else str(error).rstrip(".")


def reasons(error: Exception) -> str:
    """Return the causes inside a Twisted error that wraps others."""
    texts = map(_text, _causes(error))
    return "; ".join(dict.fromkeys(texts)) or type(error).__name__


def _causes(error: Exception) -> list[Failure]:
    return list(getattr(error, "reasons", None) or ())


def _text(failure: Failure) -> str:
    if failure.check(ConnectionClosed):
        return "the connection was closed"
    return _tls_text(failure.value) or failure.getErrorMessage() or type(failure.value).__name__


def _tls_text(error: BaseException | None) -> str | None:
    """Return a text for a TLS error, None for others."""
    try:
        from OpenSSL.SSL import Error
        from service_identity import CertificateError, VerificationError
    except ImportError:
        return None
    if isinstance(error, VerificationError | CertificateError):
        return _OTHER_NAME
    if not isinstance(error, Error):
        return None
    # pyOpenSSL: one list of (library, function, reason)
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    texts = [entry[-1] for entry in entries if entry and entry[-1]]
    if "certificate verify failed" in texts:
        return _UNTRUSTED
    return f"no TLS: {', '.join(texts) or 'the server broke off'}"
