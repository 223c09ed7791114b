"""`/api/v1` from a terminal: where it is, who we are there, and its errors in one line."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import shlex
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

import attrs

from domogik.cli.program import CommandFailed, warn
from domogik.config.files import read_bounded
from domogik.config.home import Home, NoToken
from domogik.config.load import BrokenConfiguration, Configuration, Setting, load
from domogik.config.local import connected_socket

if TYPE_CHECKING:
    import ssl

BASE = "/api/v1"

CONNECT_TIMEOUT_S = 10.0
#: for what only looks
READ_TIMEOUT_S = 30.0
#: for what is answered once it is done: a start waits for the plugin, a stop for its last process
CHANGE_TIMEOUT_S = 600.0
#: a stream of events says at least every 15 s that it is alive
EVENTS_TIMEOUT_S = 60.0

LARGEST_ANSWER_BYTES = 256 << 20
_TOKEN_LIMIT = 4096
_PORTION_BYTES = 1 << 16

JSON = "application/json"
EVENTS = "text/event-stream"
PLAIN = "text/plain"
GZIP = "application/gzip"


class ManagerUnreachable(CommandFailed):
    """Nothing answers, or what answers is not Domogik."""


class BrokenOff(ManagerUnreachable):
    """The server let go in the middle of an answer."""


class RequestRefused(CommandFailed):
    """The answer is a problem (RFC 9457); the text is its `detail`, `status` that of HTTP."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@attrs.frozen
class ApiAddress:
    """Where REST answers. `advice` is what to do where nothing does."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    certificate: Path | None = None
    advice: str = ""
    #: the manager's own, in place of host and port
    socket: Path | None = None

    @property
    def url(self) -> str:
        """As people write it."""
        if self.socket is not None:
            return str(self.socket)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    @classmethod
    def parse(cls, url: str) -> ApiAddress:
        """The one that `url` names; raises `CommandFailed`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise CommandFailed(f"'{url}' is no address: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CommandFailed(f"'{url}' is no address such as http://127.0.0.1:40405")
        if parts.username or parts.query or parts.fragment:
            raise CommandFailed(f"'{parts.scheme}://{parts.hostname}' and a port are enough")
        usual = 443 if parts.scheme == "https" else 80
        return cls(
            parts.scheme,
            parts.hostname,
            usual if port is None else port,
            parts.path.rstrip("/").removesuffix(BASE),
            advice="is the address right, and does REST run there?",
        )

    @classmethod
    def of_home(cls, home: Home, files: tuple[Path, ...]) -> ApiAddress:
        """Where the manager of this home said it answers; raises `CommandFailed`."""
        command = f"dmg_manager --home {shlex.quote(str(home.path))}"
        advice = f"start one: {command} (on the main host with -d -r -p -E)"
        # a manager that runs goes on with what was there before, and so do its tools
        configuration = load(files, warn)
        with contextlib.suppress(OSError), connected_socket(home.socket, CONNECT_TIMEOUT_S):
            return cls("http", "localhost", 80, advice=advice, socket=home.socket)
        path, pid, starts = home.rest_port, home.manager(), ""
        if pid is not None:
            starts = f"the manager of {home.path} (pid {pid}) is starting, or stopping"
            advice = starts = f"{starts}: try again in a moment"
        try:
            port = int(path.read_text(encoding="ascii"))
        except FileNotFoundError:
            if starts:
                raise ManagerUnreachable(starts) from None
            for other in Home.of_managers():
                advice += f"; one runs with another home: --home {shlex.quote(str(other.path))}"
            raise ManagerUnreachable(
                f"no manager runs in {home.path}; {advice}, or say where it is with --url"
            ) from None
        except ValueError:
            raise ManagerUnreachable(f"{path} holds no port; {advice}") from None
        except OSError as error:
            raise ManagerUnreachable(f"{path} cannot be read: {error.strerror}") from None
        scheme, host, certificate = _listening(configuration)
        return cls(scheme, host, port, certificate=certificate, advice=advice)


def _listening(configuration: Configuration) -> tuple[str, str, Path | None]:
    """Scheme, address and certificate as `[rest]` has them."""
    ip = configuration.get("rest", "rest_server_ip")
    tls = configuration.get("rest", "rest_use_ssl")
    pem = configuration.get("rest", "rest_ssl_certificate")
    own = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - asked, not bound
    host = "" if ip is None else ip.text()
    if tls is None or not _is_yes(tls):
        return "http", own.get(host, host), None
    certificate = Path(pem.text()).expanduser() if pem is not None and pem.text() else None
    return "https", own.get(host, host), certificate


def _is_yes(setting: Setting) -> bool:
    try:
        return setting.boolean()
    except BrokenConfiguration as error:
        warn(error)
        return False


def find_token(file: str | None, environment: Mapping[str, str], home: Home) -> str | None:
    """`--token-file`, `$DOMOGIK_TOKEN`, else that of the home; None where there is none to read.

    What only reads may do without, so only a file that was asked for must be there: raises
    `CommandFailed`.
    """
    if file is not None:
        try:
            token = read_bounded(Path(file), _TOKEN_LIMIT).decode("ascii").strip()
        except OSError as error:
            raise CommandFailed(f"{file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise CommandFailed(f"{file} holds no token") from None
        return _checked(token, file)
    given = environment.get("DOMOGIK_TOKEN", "").strip()
    if given:
        return _checked(given, "$DOMOGIK_TOKEN")
    try:
        return _checked(home.read_token(), str(home.token))
    except NoToken:
        return None


def _checked(token: str, where: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CommandFailed(f"{where} holds no token")
    return token


class Readable(Protocol):
    """What is sent: a file, or something that counts what is read of one."""

    def read(self, size: int = -1, /) -> bytes: ...


@attrs.frozen
class Body:
    """What is sent with a request."""

    content: Readable
    headers: Mapping[str, str]


class _LocalConnection(http.client.HTTPConnection):
    """To the manager's own socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CONNECT_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = connected_socket(self._path, CONNECT_TIMEOUT_S)


@attrs.define(eq=False)
class ApiClient:
    """Asks one server. A request each is a connection: a command makes few of them."""

    address: ApiAddress
    _token: str | None = attrs.field(repr=False)
    #: said where the server wants a token and we have none
    _no_token: str = ""

    def get(self, path: str, **query: str | None) -> Any:
        """The document; raises `ManagerUnreachable`, `RequestRefused`."""
        return self.begin("GET", path, READ_TIMEOUT_S, **query).document()

    def begin(self, method: str, path: str, timeout_s: float, **query: str | None) -> ApiAnswer:
        """Ask now, hear the answer later: several can be under way. `timeout_s` is for each read.

        Raises `ManagerUnreachable`.
        """
        return self._ask(method, path, timeout_s=timeout_s, accept=JSON, query=query)

    def send(
        self,
        path: str,
        document: object,
        timeout_s: float,
        method: str = "POST",
        **query: str | None,
    ) -> Any:
        """Post or put a document, and hear what came of it; raises as `get` does."""
        content = json.dumps(document).encode("ascii")
        body = Body(
            io.BytesIO(content), {"Content-Type": JSON, "Content-Length": str(len(content))}
        )
        return self._ask(
            method, path, timeout_s=timeout_s, accept=JSON, query=query, body=body
        ).document()

    def upload(self, path: str, content: Readable, size: int, timeout_s: float) -> Any:
        """Send a file, `size` bytes, and hear what came of it; raises as `get` does."""
        body = Body(content, {"Content-Type": GZIP, "Content-Length": str(size)})
        return self._ask(
            "POST", path, timeout_s=timeout_s, accept=JSON, query={}, body=body
        ).document()

    def stream(
        self, path: str, accept: str, timeout_s: float | None, **query: str | None
    ) -> Iterator[str]:
        """The lines of an answer as they come; raises `ManagerUnreachable`, `RequestRefused`.

        Ends when the server ends it.
        """
        return self._ask("GET", path, timeout_s=timeout_s, accept=accept, query=query).lines()

    def _ask(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float | None,
        accept: str,
        query: Mapping[str, str | None],
        body: Body | None = None,
    ) -> ApiAnswer:
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{self.address.prefix}{BASE}{path}"
        if given:
            target += f"?{urlencode(given, errors='surrogateescape')}"
        headers = {"Accept": accept}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers.update(body.headers)
        connection = self._connection()
        connection.blocksize = _PORTION_BYTES
        try:
            connection.connect()
            connection.sock.settimeout(timeout_s)
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # who is refused while it sends still hears why
            stopped = (BrokenPipeError, ConnectionResetError) if body is not None else ()
            with contextlib.suppress(*stopped):
                content = None if body is None else body.content
                connection.request(method, target, content, headers)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from None
        return ApiAnswer(connection, self, timeout_s)

    def _connection(self) -> http.client.HTTPConnection:
        address = self.address
        if address.socket is not None:
            return _LocalConnection(address.socket)
        if address.scheme == "http":
            return http.client.HTTPConnection(address.host, address.port, timeout=CONNECT_TIMEOUT_S)
        return http.client.HTTPSConnection(
            address.host, address.port, timeout=CONNECT_TIMEOUT_S, context=self._tls()
        )

    def _tls(self) -> ssl.SSLContext:
        """For a home's own server exactly its certificate counts, whatever name it is for."""
        import ssl

        pem = self.address.certificate
        try:
            context = ssl.create_default_context(cafile=None if pem is None else str(pem))
        except OSError as error:
            raise ManagerUnreachable(f"{pem} cannot be read: {error.strerror or error}") from None
        if pem is not None:
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.check_hostname = False
        return context

    def _unreachable(self, error: Exception) -> ManagerUnreachable:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        why = why or type(error).__name__
        return ManagerUnreachable(
            f"nothing answers at {self.address.url} ({why}); {self.address.advice}"
        )

    def refusal(self, status: int, reason: str, content_type: str, body: bytes) -> CommandFailed:
        """What an answer that is no success means."""
        try:
            document = json.loads(body) if content_type.endswith("json") else None
        except (ValueError, RecursionError):
            document = None
        detail = document.get("detail") if isinstance(document, dict) else None
        if not isinstance(detail, str):
            return ManagerUnreachable(
                f"what answers at {self.address.url} is not Domogik's REST ({status} {reason})"
            )
        if status == http.client.UNAUTHORIZED and self._token is None and self._no_token:
            detail = f"{detail}: {self._no_token}"
        return RequestRefused(status, detail)


@attrs.define(eq=False)
class ApiAnswer:
    """One that is under way; read it once, by `document` or by `lines`."""

    _connection: http.client.HTTPConnection
    _client: ApiClient
    _timeout_s: float | None

    def document(self) -> Any:
        """What it says; raises `ManagerUnreachable`, `RequestRefused`."""
        try:
            response = self._success()
            body = self._body(response)
        finally:
            self._connection.close()
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise ManagerUnreachable(
                f"what answers at {self._client.address.url} is not Domogik's REST (no JSON)"
            ) from None

    def lines(self) -> Iterator[str]:
        """Line by line, until the server ends it; raises `ManagerUnreachable`, `RequestRefused`."""
        try:
            response = self._success()
            rest = b""
            while data := self._some(response):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    yield line.decode("utf-8", "surrogateescape")
            if rest:
                yield rest.decode("utf-8", "surrogateescape")
        finally:
            self._connection.close()

    def _success(self) -> http.client.HTTPResponse:
        try:
            response = self._connection.getresponse()
        except TimeoutError:
            raise ManagerUnreachable(
                f"no answer from {self._client.address.url} within {self._timeout_s:g} s; what was "
                "asked for may still go on"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._broke_off(error) from None
        if not 200 <= response.status < 300:
            body = self._body(response)
            kind = (response.getheader("Content-Type") or "").partition(";")[0]
            raise self._client.refusal(response.status, response.reason, kind, body)
        return response

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        try:
            body = response.read(LARGEST_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._broke_off(error) from None
        if len(body) > LARGEST_ANSWER_BYTES:
            raise ManagerUnreachable(f"the answer of {self._client.address.url} has no end")
        return body

    def _some(self, response: http.client.HTTPResponse) -> bytes:
        """What there is now, at least a byte; nothing at the end."""
        try:
            return response.read1(_PORTION_BYTES)
        except TimeoutError:
            raise ManagerUnreachable(f"{self._client.address.url} has gone silent") from None
        except (OSError, http.client.HTTPException) as error:
            raise self._broke_off(error) from None

    def _broke_off(self, error: Exception) -> BrokenOff:
        why = str(error) or type(error).__name__
        if isinstance(error, http.client.RemoteDisconnected):
            why = "the manager ended; what was asked for may not be done"
        return BrokenOff(f"the answer of {self._client.address.url} broke off ({why})")


def component_path(name: str, verb: str = "") -> str:
    """`/components/<name>[/<verb>]`, whatever the name holds."""
    path = f"/components/{quote(name, safe=':', errors='surrogateescape')}"
    return f"{path}/{verb}" if verb else path
