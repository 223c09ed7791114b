"""Where does REST listen, and over what? TLS is imported only where it is asked for (12 MiB)."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort

from domogik.api.settings import RestSettings
from domogik.errors import DomogikError

#: connections that wait to be accepted
BACKLOG = 128


class RestPortTaken(DomogikError):
    """The address cannot be listened on; one line says what to change."""


class BadCertificate(DomogikError):
    """The PEM file cannot be used; one line says why."""


class Reactor(Protocol):
    """What listening needs of a reactor. Not the endpoints: to import them imports TLS."""

    def listenTCP(
        self, port: int, factory: Any, backlog: int, interface: str
    ) -> IListeningPort: ...

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int, interface: str
    ) -> IListeningPort: ...


def listen(reactor: Reactor, site: Any, settings: RestSettings) -> Deferred[IListeningPort]:
    """Fires with the port that listens; fails with `RestPortTaken` or `BadCertificate`."""
    return Deferred.fromCoroutine(_listen(reactor, site, settings))


async def _listen(reactor: Reactor, site: Any, settings: RestSettings) -> IListeningPort:
    try:
        if settings.use_ssl:
            context = _context_factory(settings.certificate)
            return reactor.listenSSL(settings.port, site, context, BACKLOG, settings.ip)
        return reactor.listenTCP(settings.port, site, BACKLOG, settings.ip)
    except CannotListenError as error:
        raise RestPortTaken(_why(error, settings)) from error


def _why(error: CannotListenError, settings: RestSettings) -> str:
    number = getattr(error.socketError, "errno", None)
    where = f"port {settings.port} of {settings.ip}"
    if number == errno.EADDRINUSE:
        return f"{where} is taken by another program: change rest_server_port in [rest]"
    if number == errno.EACCES:
        return f"{where} is not for this user: change rest_server_port in [rest]"
    if number == errno.EADDRNOTAVAIL:
        return f"{settings.ip} is no address of this host: change rest_server_ip in [rest]"
    return f"{where} cannot be listened on ({error.socketError}): change [rest]"


def _context_factory(pem: Path | None) -> Any:
    """TLS 1.2 and later, with the key and the whole chain of one PEM file."""
    from OpenSSL import SSL
    from twisted.internet.ssl import CertificateOptions, TLSVersion

    class Options(CertificateOptions):
        """The chain is read by OpenSSL itself, at once, so that a bad file is found at start."""

        def _makeContext(self, skipCiphers: bool = False) -> SSL.Context:
            context = super()._makeContext(skipCiphers)
            context.use_certificate_chain_file(str(pem))
            context.use_privatekey_file(str(pem))
            context.check_privatekey()
            return context

    if pem is None or not pem.is_file():
        raise BadCertificate(f"rest_ssl_certificate: there is no file {pem}")
    options = Options(raiseMinimumTo=TLSVersion.TLSv1_2)
    try:
        options.getContext()
    except (SSL.Error, OSError) as error:
        raise BadCertificate(
            f"rest_ssl_certificate: {pem} does not hold a certificate and its private key, in PEM"
        ) from error
    return options
