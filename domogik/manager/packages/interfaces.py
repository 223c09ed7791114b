"""The interface of the packages of all hosts."""

from __future__ import annotations

from pathlib import Path

import attrs
from zope.interface import Attribute, Interface

from domogik.packages.descriptor.package import UdevRule
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.needs.dependencies import DependencyState
from domogik.packages.repositories.index import Offer


@attrs.frozen
class RepositoryInfo:
    """A repository of `sources.list`, or the local one.

    `as_of` is when what it offers was fetched last (Unix time, None for never), `error` why the
    last refresh of it failed, `packages` how many releases it offers. `signed`: what it offers was
    verified, and its signatures are good until `expires` (Unix time); without, anybody on the way
    may have changed it, which its owner `accepted` or not.
    """

    url: str
    priority: int
    as_of: float | None = None
    packages: int = 0
    error: str = ""
    signed: bool = False
    expires: float | None = None
    accepted: bool = False


@attrs.frozen
class InstalledPackage:
    """A package as a host says it is installed.

    `enabled` is that of a plugin, True for other types; `updates` what the repositories offer that
    is newer, the newest first; `releases` what lies in the store, to go back to, and `held` that it
    is not to be updated: both are known of this host only, as is `given_up`, the releases
    that failed as updates and are not among `updates`, and `warnings`, a sentence with a command
    for each thing that a plugin needs and that was not there when this was looked at last.
    """

    ref: PackageRef
    host: str
    enabled: bool = True
    updates: tuple[Offer, ...] = ()
    releases: tuple[str, ...] = ()
    held: bool = False
    given_up: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class IPackages(Interface):
    """Packages of every host, as seen from this host, which has the cache and serves archives.

    What changes something is a job: it is queued by package, and the same request twice is one.
    Unknown things raise `UnknownRelease`, `UnknownComponent` or `InvalidReference`, what was tried
    and did not succeed `OperationFailed` with the texts of Domogik's clients, a silent host
    `NoAnswer`, development mode `NotPossible`.
    """

    host = Attribute("str: the name of this host")

    def repositories() -> tuple[RepositoryInfo, ...]:
        """Return the repositories, highest priority first."""

    async def refresh() -> tuple[RepositoryInfo, ...]:
        """Fetch what they offer; one that fails keeps what it offered before and says why."""

    def offers(type: str | None = None) -> tuple[Offer, ...]:
        """Return all releases of all packages by id, the newest of each first."""

    def available(host: str, type: str) -> tuple[Offer, ...]:
        """Return the packages that are not installed on that host; raises `UnknownComponent`."""

    def installed(host: str | None = None, type: str | None = None) -> tuple[InstalledPackage, ...]:
        """From memory, for every host that has told; sorted by host and name."""

    async def install(
        host: str,
        type: str,
        id: str,
        release: str | None = None,
        *,
        with_dependencies: bool = False,
    ) -> PackageRef:
        """Both parts, the target host's first; without a release the newest that fits.

        `with_dependencies`: what a plugin needs of Python is installed into an environment of its
        own, or nothing is; its later releases get theirs without being asked for.
        """

    async def update(
        host: str, type: str, id: str, release: str | None = None, *, again: bool = False
    ) -> PackageRef:
        """Fetch and stage, stop, switch, start, watch it for a while; else back to the old one.

        Without a release the newest; one that was given up before only `again`.
        """

    async def rollback(host: str, type: str, id: str) -> PackageRef:
        """Switch to the previous release."""

    async def uninstall(host: str, type: str, id: str, *, with_data: bool = False) -> None:
        """Remove the package; its data is removed only `with_data`."""

    async def hold(host: str, type: str, id: str, *, held: bool) -> None:
        """Set whether updates skip the package."""

    async def dependencies(
        host: str, type: str, id: str, release: str | None = None
    ) -> tuple[DependencyState, ...]:
        """Those of the release, or of the installed one, as they are met on that host."""

    async def udev_rules(host: str, type: str, id: str) -> tuple[UdevRule, ...]:
        """Return the udev rules of an installed package."""

    async def upload(path: Path, named: PackageRef | None = None) -> PackageRef:
        """Check an archive and take it into the local repository; moves nothing, reads `path`.

        One that is not `named` is refused (`OtherPackage`), and not kept.
        """

    async def archive(type: str, id: str, release: str) -> Path:
        """The archive, fetched where it is not in the cache; what `/package/download/` serves."""

    def icon(type: str, id: str, release: str | None = None) -> Path | None:
        """Return the icon of an offered release, or of the installed package."""
