"""`/package` and what `/plugin` tells of its package: the words of Domogik's clients.

The texts of errors are those of Domogik; where it hid the cause, the cause follows behind ` : `.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime

from domogik.api.encoding import Encoded
from domogik.api.http.exchange import Reply, Stream
from domogik.api.http.files import GZIP, PNG, file_answer, not_found
from domogik.api.http.uploads import upload_of
from domogik.api.rinor.envelope import RinorAnswer, RinorError
from domogik.api.rinor.face import identifier
from domogik.api.rinor.package_items import (
    dependency_items,
    installed_item,
    offer_item,
    rule_item,
)
from domogik.api.router import Asked, Path
from domogik.errors import DomogikError, NoAnswer, NotPossible, OperationFailed, UnknownComponent
from domogik.manager.operations.all import TABLE
from domogik.manager.operations.table import Context, Right
from domogik.packages.archive.tarball import BrokenArchive
from domogik.packages.descriptor.reference import TYPES, InvalidReference, PackageRef, fullname
from domogik.packages.publish.uploads import OtherPackage
from domogik.packages.repositories.index import UnknownRelease
from domogik.packages.store.changes import StoreFailed

_HOST_TYPE = "<host>/<type>"
_RELEASE = "<type>/<id>/<release>"
_ARCHIVE = re.compile(r"([a-z]+)-([a-z0-9_]+)-([^/]+)\.tgz")
#: what the host that was to do it says; all else went wrong before that
_REFUSALS = (OperationFailed, NotPossible, StoreFailed, BrokenArchive)
_HEAD = b'{"status": "OK", "code": 0, "description": "None", "package": '


@attrs.define(eq=False)
class PackagePaths:
    """Everything under `/package`, and `dependency` and `udev-rule` under `/plugin`."""

    _clock: IReactorTime
    _context: Context
    _offers: Encoded = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        events = self._context.all_hosts.events
        self._offers = Encoded(self._clock, offer_item, self._context.offers, events)

    def stop(self) -> None:
        """Nothing goes on by itself any more."""
        self._offers.stop()

    def routes(self) -> tuple[Path, ...]:
        """Every path with what answers there."""
        return (
            Path("package/get-mode", self.mode),
            Path("package/list-repo", self.repositories),
            Path("package/update-cache", self.refresh, Right.CHANGE),
            Path(f"package/available/{_HOST_TYPE}", self.available),
            Path(f"package/installed/{_HOST_TYPE}", self.installed),
            Path(f"package/dependency/<host>/{_RELEASE}", self.dependencies),
            Path(f"package/check-dependencies/<host>/{_RELEASE}", self.dependencies),
            Path(f"package/install/<host>/{_RELEASE}", self.install, Right.CHANGE),
            Path("package/install_from_path/<host>", self.install_upload, Right.CHANGE),
            Path("package/uninstall/<host>/<type>/<id>", self.uninstall, Right.CHANGE),
            Path(f"package/download/{_RELEASE}", self.download, Right.NOTHING, is_file=True),
            Path(f"package/icon/available/{_RELEASE}", self.icon, Right.NOTHING, is_file=True),
            Path("package/icon/installed/<type>/<id>", self.icon, Right.NOTHING, is_file=True),
            Path("plugin/dependency/<host>/<id>", self.plugin_dependencies),
            Path("plugin/udev-rule/<host>/<id>", self.udev_rules),
        )

    async def mode(self, asked: Asked) -> RinorAnswer:
        """`normal`: packages are managed; `development`: they are listed."""
        normal = self._context.all_hosts.package_mode
        return RinorAnswer("mode", ["normal" if normal else "development"])

    async def repositories(self, asked: Asked) -> RinorAnswer:
        """Highest priority first; it is text, as in the file."""
        known = self._context.packages.repositories()
        items = [
            {"url": one.url, "priority": str(one.priority), "signed": str(one.signed)}
            for one in known
        ]
        return RinorAnswer("repository", items)

    async def refresh(self, asked: Asked) -> RinorAnswer:
        """An error names each repository that failed; what the others offer is there all the same.

        So is what a failing one offered before.
        """
        try:
            order = TABLE["repository.refresh"].order(asked.call.acting_on(self._context))
            known = (await order.begin())["repositories"]
        except (OperationFailed, NoAnswer) as error:
            raise RinorError(f"Error while updating cache : {error}", "cache") from error
        failed = [_failure(repository.url, repository.error) for repository in known]
        why = "; ".join(filter(None, failed))
        if why:
            raise RinorError(f"Error while updating cache : {why}", "cache")
        return RinorAnswer("cache")

    async def available(self, asked: Asked) -> bytes:
        """Every release of what is not installed on that host."""
        packages = self._context.packages
        try:
            offers = packages.available(_host(asked), _type(asked))
        except UnknownComponent as error:
            raise RinorError(str(error), "package") from error
        return b"%s%s}" % (_HEAD, await self._offers.array(offers))

    async def installed(self, asked: Asked) -> RinorAnswer:
        """From memory; nothing for a host that was never heard."""
        found = self._context.packages.installed(_host(asked), _type(asked))
        return RinorAnswer("package", [installed_item(package) for package in found])

    async def dependencies(self, asked: Asked) -> RinorAnswer:
        """What a release needs, and whether the host has it."""
        release = asked["release"]
        return await self._dependencies(
            asked, asked["type"], release, "No data or timeout on checking dependencies"
        )

    async def plugin_dependencies(self, asked: Asked) -> RinorAnswer:
        """What an installed plugin needs, and whether its host has it."""
        return await self._dependencies(
            asked, "plugin", None, "No data or timeout on getting dependencies"
        )

    async def udev_rules(self, asked: Asked) -> RinorAnswer:
        """The rules that an installed plugin brings."""
        with _answering("No data or timeout on getting udev rules", "udev-rule"):
            rules = await self._context.packages.udev_rules(_host(asked), "plugin", asked["id"])
        return RinorAnswer("udev-rule", [rule_item(rule) for rule in rules])

    async def install(self, asked: Asked) -> RinorAnswer:
        """Answered once it is installed."""
        await self._install(asked, asked["type"], asked["id"], asked["release"])
        return RinorAnswer("install")

    async def install_upload(self, asked: Asked) -> RinorAnswer:
        """The body is the archive; its name has to be the one of the package in it."""
        packages = self._context.packages
        _host(asked)
        named = _named(asked.call.query.get("filename", ""))
        try:
            with upload_of(asked.call).taken() as path:
                await packages.upload(path, named)
        except OtherPackage as error:
            raise RinorError(f"Bad filename provided. {error}") from error
        await self._install(asked, named.type, named.id, named.release)
        return RinorAnswer("install")

    async def uninstall(self, asked: Asked) -> RinorAnswer:
        """Answered once everything that the package brought is gone; its data stays."""
        with _answering("No data or timeout on uninstalling package", "uninstall"):
            host, type, id = _host(asked), asked["type"], asked["id"]
            await self._begin(asked, "package.uninstall", type, id, host=host)
        return RinorAnswer("uninstall")

    async def download(self, asked: Asked) -> Reply | Stream:
        """The archive, for the other hosts of the house: they need no internet."""
        ref = PackageRef(asked["type"], asked["id"], asked["release"])
        path = await self._context.packages.archive(ref.type, ref.id, ref.release)
        return file_answer(asked.call, path, GZIP, self._clock)

    async def icon(self, asked: Asked) -> Reply | Stream:
        """Of an offered release, or of what is installed."""
        release = asked.values.get("release")
        if release is None:
            fullname(asked["type"], asked["id"])
        else:
            PackageRef(asked["type"], asked["id"], release)
        path = self._context.packages.icon(asked["type"], asked["id"], release)
        return not_found() if path is None else file_answer(asked.call, path, PNG, self._clock)

    async def _dependencies(
        self, asked: Asked, type: str, release: str | None, silence: str
    ) -> RinorAnswer:
        packages = self._context.packages
        with _answering(silence, "dependency"):
            try:
                states = await packages.dependencies(_host(asked), type, asked["id"], release)
            except (UnknownRelease, UnknownComponent, InvalidReference) as error:
                raise RinorError("No package corresponding to request", "dependency") from error
        return RinorAnswer("dependency", dependency_items(states))

    def _begin(
        self, asked: Asked, name: str, type: str, id: str, **typed: object
    ) -> Awaitable[Any]:
        context, names = asked.call.acting_on(self._context), {"type": type, "id": id}
        return TABLE[name].order(context, names=names, typed=typed).begin()

    async def _install(self, asked: Asked, type: str, id: str, release: str) -> None:
        host = _host(asked)
        try:
            await self._begin(asked, "package.install", type, id, host=host, release=release)
        except NoAnswer as error:
            raise RinorError("No data or timeout on installing package", "install") from error
        except UnknownComponent as error:
            raise RinorError(str(error)) from error
        except _REFUSALS as error:
            text = str(error)
            if not text.startswith("Error on "):
                text = f"Error on 'xpl' part : {text}"
            raise RinorError(text) from error
        except DomogikError as error:
            raise RinorError(f"Error on putting package in cache : {error}") from error


@contextmanager
def _answering(silence: str, type: str) -> Iterator[None]:
    """What the texts of Domogik are for a silent host, and for one that refused."""
    try:
        yield
    except NoAnswer as error:
        raise RinorError(silence, type) from error
    except (*_REFUSALS, UnknownComponent) as error:
        raise RinorError(f"Error : {error}") from error


def _host(asked: Asked) -> str:
    return identifier(asked["host"], "host")


def _type(asked: Asked) -> str:
    """Raises `RinorError` with Domogik's words."""
    if asked["type"] not in TYPES:
        raise RinorError(f"Type '{identifier(asked['type'], 'type')}' doesn't exists")
    return asked["type"]


def _named(filename: str) -> PackageRef:
    """The package that a file's name says is in it; raises `RinorError`."""
    if not filename:
        raise RinorError("You must give a file name : ?filename=foo.txt")
    if not filename.endswith(".tgz"):
        raise RinorError("Bad filename provided. It must be a .tgz file")
    match = _ARCHIVE.fullmatch(filename)
    try:
        if match is not None:
            return PackageRef(match[1], match[2], match[3])
    except InvalidReference as error:
        raise RinorError("Bad filename provided.") from error
    raise RinorError("Bad filename provided.")


def _failure(url: str, error: str) -> str:
    """In one sentence, with the address once."""
    if not error or error.startswith(url):
        return error
    return f"{url}: {error}"
