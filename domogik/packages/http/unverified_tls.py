"""TLS without certificate checks, for content that is verified by its digest.

Another host has a self-signed certificate that this one does not know.
"""

from __future__ import annotations

from OpenSSL.SSL import Connection
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer


@implementer(IOpenSSLClientConnectionCreator)
class _UncheckedCreator:
    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        return Connection(CertificateOptions().getContext(), None)


@implementer(IPolicyForHTTPS)
class AnyCertificate:
    """A policy that accepts every certificate."""

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        return _UncheckedCreator()
