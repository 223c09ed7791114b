"""Uploads: bodies that are too large for memory go to a file, and only from who may change.

Who asks is looked at before a byte of the body is kept; what is not fetched by an operation is
removed with the request.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from twisted.web.http import Request

from domogik.api.access import Access
from domogik.api.http.exchange import BadRequest, Call, split_path
from domogik.config.files import make_temporary
from domogik.errors import DomogikError
from domogik.manager.operations.table import Right

#: bytes; an archive of a package, which may bring wheels
MAX_UPLOAD = 128 * 1024 * 1024
#: so many may be under way together
MAX_UPLOADS = 4
#: seconds from the head of a request to the last byte of its body
UPLOAD_TIMEOUT = 900.0


class TooManyUploads(DomogikError):
    """So many are under way already that no other is let in."""


class WrongBody(DomogikError):
    """The body is sent as something that is not read here."""


@attrs.define(eq=False)
class Upload:
    """A body on disk, as `twisted.web` wants it of a file. `on_close` is called once."""

    path: Path
    _descriptor: int
    _on_close: Callable[[Upload], None]
    size: int = 0
    _at_work: bool = False
    _closed: bool = False

    def write(self, data: bytes) -> int:
        """Raises `OSError` where the disk is full."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self.size += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Part of the interface: nothing reads it from here."""
        return 0

    def tell(self) -> int:
        """How much came."""
        return self.size

    def read(self, size: int = -1) -> bytes:
        """Nothing: it is for `taken`."""
        return b""

    def close(self) -> None:
        """The request is over; the file goes unless an operation works on it."""
        if self._closed:
            return
        self._closed = True
        self._on_close(self)
        if not self._at_work:
            self._remove()

    @contextmanager
    def taken(self) -> Iterator[Path]:
        """The file, for as long as this lasts, whatever becomes of the request."""
        self._at_work = True
        try:
            yield self.path
        finally:
            self._at_work = False
            if self._closed:
                self._remove()
            else:
                self.path.unlink(missing_ok=True)

    def _remove(self) -> None:
        """Its lock goes last: another manager that shares the directory leaves it alone."""
        self.path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@attrs.define(eq=False)
class Uploads:
    """Which requests are uploads, and who may make one. Files lie in `directory`.

    Without one the system's directory for temporary files is used.
    """

    _access: Access
    _directory: Path | None = None
    _open: set[Upload] = attrs.field(factory=set)

    def expects(self, method: bytes, uri: bytes) -> bool:
        """Whether a request with that first line brings an archive."""
        try:
            parts = split_path(uri.partition(b"?")[0])
        except BadRequest:
            return False
        if len(parts) == 3 and (parts[0].lower(), parts[1]) == ("package", "install_from_path"):
            return method in (b"PUT", b"POST")
        return method == b"POST" and parts == ("api", "v1", "packages", "upload")

    def begin(self, request: Request) -> Upload:
        """Raises `NotAllowed`, `WrongBody`, `TooManyUploads`, `OSError`. Only the head is there."""
        self._access.check(self._access.caller(request), Right.CHANGE)
        kind = request.getHeader(b"content-type") or b""
        if kind.lower().startswith(b"multipart/"):
            raise WrongBody("The body is the archive itself, no form: curl --data-binary @FILE ...")
        if len(self._open) >= MAX_UPLOADS:
            raise TooManyUploads(f"{MAX_UPLOADS} uploads are under way already")
        directory = self._directory or Path(tempfile.gettempdir())
        descriptor, path = make_temporary(directory, "upload")
        upload = Upload(path, descriptor, self._open.discard)
        self._open.add(upload)
        return upload


def upload_of(call: Call) -> Upload:
    """The archive that came with the request; raises `BadRequest` where none came."""
    content = call.request.content
    if not isinstance(content, Upload) or not content.size:
        raise BadRequest("The body of this request is the archive of a package, and it is empty")
    return content
