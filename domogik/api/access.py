"""Who may do what over HTTP?

Reading is open on loopback; from elsewhere it needs the token. Changing needs the token, a session
of the page, the local socket, or an address that `trusted_clients` lists. A request that another
site made a browser send, or that came for a name that is not this host's (DNS rebinding), changes
nothing, gets no JSONP, and reads nothing of ours without the token. A site is scheme, host and
port: a program on another port of this host is another site.

A page can have a browser send a GET that tells nothing of the page. So what a browser sends by GET
changes nothing without the token or a session, whatever its address.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Callable
from functools import lru_cache

import attrs
from twisted.internet.address import UNIXAddress
from twisted.web.http import Request

from domogik.api.settings import Network, RestSettings, origin_of
from domogik.errors import NotAllowed
from domogik.manager.operations.table import Right
from domogik.supervisor.ports.listeners import is_own_address


class TokenNeeded(NotAllowed):
    """Who asks has not shown the token, or a wrong one."""


class ForeignSite(NotAllowed):
    """The request was made by the page of another site, or for the name of another host."""


@attrs.frozen
class Caller:
    """Who asks, as far as the request shows.

    `foreign` says in words which other site is behind it, empty for none; `wrong_token` that a
    token was shown which is not ours. `sees_passwords` is what masks go by. `browses` says that a
    browser sends it by GET, and no page that `jsonp_origins` lists.
    """

    has_token: bool = False
    wrong_token: bool = False
    in_session: bool = False
    trusted: bool = False
    local: bool = False
    own_host: bool = True
    foreign: str = ""
    browses: bool = False

    @property
    def sees_passwords(self) -> bool:
        """Only the token (or the page of who has it) lifts the mask, never an address."""
        return self.has_token or self.in_session


def names_of_this_host(sanitised: str = "") -> frozenset[str]:
    """What a browser may call this host, without asking any name server."""
    full = socket.gethostname().lower()
    short = full.partition(".")[0]
    names = {"localhost", "localhost.localdomain", full, short, f"{short}.local"}
    if sanitised:
        names |= {sanitised, f"{sanitised}.local"}
    return frozenset(name for name in names if name)


def no_session(request: Request) -> bool:
    """Return that no request has a session; there is no page yet."""
    return False


@attrs.define(eq=False)
class Access:
    """The rules. `session` tells whether a request carries a session of the page."""

    _token: bytes
    _names: frozenset[str]
    _trusted: tuple[Network, ...] = ()
    _origins: frozenset[str] = frozenset()
    _session: Callable[[Request], bool] = no_session
    _peer: Callable[[str], tuple[bool, bool]] = attrs.field(init=False)

    @classmethod
    def from_settings(
        cls,
        settings: RestSettings,
        token: str,
        names: frozenset[str],
        session: Callable[[Request], bool] = no_session,
    ) -> Access:
        """`token` is the text of `admin.token`; empty means that no request can show it."""
        return cls(
            token.strip().encode(),
            names,
            settings.trusted_clients,
            settings.jsonp_origins,
            session,
        )

    def __attrs_post_init__(self) -> None:
        self._peer = lru_cache(maxsize=1024)(self._look_at)

    def update_settings(self, settings: RestSettings) -> None:
        """From now on these are the trusted clients and the origins that get JSONP."""
        self._trusted = settings.trusted_clients
        self._origins = settings.jsonp_origins
        self._peer.cache_clear()  # type: ignore[attr-defined]

    def is_token(self, text: str) -> bool:
        """Whether that is the token of this host."""
        return bool(self._token) and hmac.compare_digest(text.encode(), self._token)

    def is_local(self, peer: str) -> bool:
        """Whether an address is one of this host."""
        return self._peer(peer)[0]

    def knows(self, request: Request) -> bool:
        """Whether it shows the token or a session; only its head need be there."""
        headers = request.requestHeaders
        is_nobody = not any(map(headers.hasHeader, (b"authorization", b"cookie")))
        if is_nobody and not isinstance(request.getClientAddress(), UNIXAddress):
            return False
        return self.caller(request).sees_passwords

    def caller(self, request: Request) -> Caller:
        """Read everything that tells who asks from the request, deciding nothing yet."""
        headers = request.requestHeaders
        on_socket = isinstance(request.getClientAddress(), UNIXAddress)
        peer = str(getattr(request.getClientAddress(), "host", ""))
        local, trusted = self._peer(peer)
        # the kernel takes no packet from outside that claims to come from an address of ours
        address = _ip(peer)
        local = local or (address is not None and is_own_address(str(address)))
        if headers.hasHeader(b"x-forwarded-for") or headers.hasHeader(b"forwarded"):
            local = False  # the peer is a proxy; who asks it may be anywhere
        has_token = wrong_token = False
        authorization = request.getHeader(b"authorization")
        if authorization is not None:
            scheme, _, credentials = authorization.partition(b" ")
            if scheme.lower() == b"bearer":
                given = credentials.strip()
                has_token = bool(self._token) and hmac.compare_digest(given, self._token)
                wrong_token = not has_token
        if on_socket:  # only its owner can open it: no browser, no proxy, and no need of the token
            return Caller(has_token=not wrong_token, wrong_token=wrong_token, local=True)
        own_host = self._own_host(request)
        foreign, excepted = self._foreign(request)
        return Caller(
            has_token=has_token,
            wrong_token=wrong_token,
            in_session=self._session(request),
            trusted=trusted,
            local=local,
            own_host=own_host,
            foreign=foreign if own_host else "the Host is not a name of this host",
            browses=request.method in (b"GET", b"HEAD") and not excepted and _is_browser(request),
        )

    def check(self, caller: Caller, right: Right) -> None:
        """Raises `TokenNeeded` or `ForeignSite`; silence means: go on."""
        if right is Right.NOTHING:
            return
        if caller.wrong_token:
            raise TokenNeeded("This is not the token of this host (see its admin.token)")
        if right is Right.CHANGE:
            if caller.foreign:
                raise ForeignSite(f"Nothing is changed for another site: {caller.foreign}")
            if not (caller.has_token or caller.in_session or caller.trusted):
                raise TokenNeeded("Changing needs 'Authorization: Bearer <token>'")
            if caller.browses and not (caller.has_token or caller.in_session):
                raise ForeignSite("A browser changes nothing by GET without the token: use POST")
            return
        if right is Right.PRIVATE and (caller.foreign or not caller.sees_passwords):
            raise TokenNeeded("This is told for 'Authorization: Bearer <token>' only")
        known = caller.has_token or caller.in_session
        if not caller.own_host and not known:
            raise ForeignSite(f"Nothing is told without the token: {caller.foreign}")
        if not (caller.local or caller.trusted or known):
            raise TokenNeeded("Reading from another host needs 'Authorization: Bearer <token>'")

    def check_script(self, caller: Caller) -> None:
        """Whether a page may have the answer as a script (JSONP); raises `ForeignSite`."""
        if caller.foreign:
            raise ForeignSite(f"No JSONP for another site: {caller.foreign}")

    def _look_at(self, peer: str) -> tuple[bool, bool]:
        """(on this host's loopback, listed in trusted_clients)."""
        address = _ip(peer)
        if address is None:
            return False, False
        return address.is_loopback, any(address in network for network in self._trusted)

    def _own_host(self, request: Request) -> bool:
        header = request.getHeader(b"host")
        if header is None:
            return True  # HTTP/1.0; no browser leaves it out
        try:
            name = _host_name(header.decode("ascii"))
        except UnicodeDecodeError:
            return False
        return self._is_this_host(name, request)

    def _is_this_host(self, name: str, request: Request) -> bool:
        here = str(getattr(request.getHost(), "host", ""))
        if name == here or name in self._names:
            return True
        address = _ip(name)
        if address is None:
            return False
        return address.is_loopback or address == _ip(here)

    def _foreign(self, request: Request) -> tuple[str, bool]:
        """Which other site is behind it, and whether `jsonp_origins` lists the page it names."""
        headers = (request.getHeader(b"origin"), request.getHeader(b"referer"))
        origins = [origin_of(claim.decode("latin-1")) for claim in headers if claim]
        if origins and self._origins.issuperset(origins):
            return "", True
        here = _own_origin(request)
        if any(origin != here and origin not in self._origins for origin in origins):
            return "its page is of another site", False
        if request.getHeader(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            return "the browser calls it cross-site", False
        return "", False


def _own_origin(request: Request) -> str | None:
    """Return the origin of this server as the request addresses it."""
    host = request.getHeader(b"host")
    here = request.getHost()
    name = f"{here.host}:{here.port}" if host is None else host.decode("latin-1")
    return origin_of(f"http{'s' if request.isSecure() else ''}://{name}")


def _is_browser(request: Request) -> bool:
    names = (name for name, _ in request.requestHeaders.getAllRawHeaders())
    agent = request.getHeader(b"user-agent") or b""
    return agent.startswith(b"Mozilla/") or any(
        name.lower().startswith(b"sec-fetch-") for name in names
    )


def _host_name(host: str) -> str:
    """`name`, `name:port`, `[v6]:port` -> the name, lower case, without a final dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else ipaddress.ip_address(str(mapped))
