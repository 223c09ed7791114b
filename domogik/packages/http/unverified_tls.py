"""TLS with whoever answers: for what is proven by its digest, whoever sends it.

A host of the house has a certificate that it made itself, and no other host knows it.
"""

from __future__ import annotations

from OpenSSL.SSL import Connection
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer


@implementer(IOpenSSLClientConnectionCreator)
class _Anybody:
    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        return Connection(CertificateOptions().getContext(), None)


@implementer(IPolicyForHTTPS)
class AnyCertificate:
    """Good is every certificate: what comes has to be proven in another way."""

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        return _Anybody()
