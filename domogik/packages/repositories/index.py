"""The offers of all repositories, and the choice among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
from packaging.version import InvalidVersion, Version

from domogik import __version__
from domogik.errors import DomogikError, did_you_mean
from domogik.packages.descriptor.package import Package
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.sources import Source


class UnknownRelease(DomogikError):
    """No repository offers the release; the text is the one that Domogik's clients know."""

    def __init__(
        self,
        type: str,
        id: str,
        release: str | None,
        offered: Sequence[str] = (),
        known: Iterable[str] = (),
    ) -> None:
        """Create it with the `offered` releases of the package and the `known` ids of its type."""
        text = f"No package corresponding to '{type}-{id}'"
        if release is not None:
            text = f"{text} in version '{release}'"
        if not offered:
            near = did_you_mean(id, known) or " Fetch their lists anew: dmg_pkgmgr update-cache"
            plain = f"No repository offers {id}.{near}"
        elif release is None:
            plain = f"Every release of {id} needs a newer Domogik: {', '.join(offered)}"
        else:
            plain = f"{id} {release} is not offered; offered are {', '.join(offered)}"
        super().__init__(text, plain=plain)


@attrs.frozen
class Offer:
    """A release that a repository offers.

    `url` is that of its archive; `sha256` (hex) and `size` (bytes) are None if unknown; `icon` is a
    PNG file of the cache. Without a descriptor, `package` has only what the list says. A `signed`
    one was verified when it was fetched, and digest and size are the signed ones.
    """

    package: Package
    source: Source
    url: str
    sha256: str | None = None
    size: int | None = None
    icon: Path | None = None
    signed: bool = False

    @property
    def ref(self) -> PackageRef:
        """The reference of the release."""
        return PackageRef.of(self.package)

    @property
    def version(self) -> Version:
        """The version, for comparisons with other releases."""
        return self.ref.version


def fits(package: Package, running: str = __version__) -> bool:
    """Return whether this Domogik is new enough for the package.

    A development release counts as the final one; versions that cannot be compared fit.
    """
    try:
        return Version(Version(running).base_version) >= Version(package.min_version)
    except InvalidVersion:
        return True


def _chosen(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    best: dict[tuple[str, str, str], Offer] = {}
    for offer in offers:
        key = offer.package.type, offer.package.id, offer.package.release
        other = best.get(key)
        if other is None or offer.source.priority > other.source.priority:
            best[key] = offer
    versions = {key: offer.version for key, offer in best.items()}
    # two texts for one version: the higher priority first; sorted() keeps the rest as it was
    by_newest = sorted(
        best, key=lambda key: (versions[key], best[key].source.priority), reverse=True
    )
    return tuple(best[key] for key in sorted(by_newest, key=lambda key: key[:2]))


@attrs.frozen
class Index:
    """All offers: for each release that of the highest priority, then the first written.

    `as_of` is the Unix time of the oldest snapshot, None if there is none. `offers` may be in any
    order; those of equal priority in the order of `sources.list`.
    """

    offers: tuple[Offer, ...] = attrs.field(default=(), converter=_chosen)
    as_of: float | None = None
    running: str = __version__
    _of: dict[tuple[str, str], list[Offer]] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        of: dict[tuple[str, str], list[Offer]] = {}
        for offer in self.offers:
            of.setdefault((offer.package.type, offer.package.id), []).append(offer)
        object.__setattr__(self, "_of", of)

    def available(self, type: str) -> tuple[Offer, ...]:
        """Return all releases of all packages of that type, by id, newest first.

        Those that need a newer Domogik are included; see `fits`.
        """
        return tuple(offer for offer in self.offers if offer.package.type == type)

    def releases(self, type: str, id: str) -> tuple[Offer, ...]:
        """Return all releases of a package, newest first."""
        return tuple(self._of.get((type, id), ()))

    def find(
        self, type: str, id: str, release: str | None = None, *, pre_releases: bool = False
    ) -> Offer:
        """Return that release, or without one the newest that fits this Domogik.

        Pre-releases count if requested, or if there is nothing else. A named release is found even
        if it needs a newer Domogik. Raises `UnknownRelease`.
        """
        offers = self._of.get((type, id), [])
        if release is not None:
            offers = [offer for offer in offers if offer.package.release == release]
        else:
            offers = self._suitable(offers, pre_releases)
        if not offers:
            known = (one for kind, one in self._of if kind == type)
            there = [offer.package.release for offer in self._of.get((type, id), ())]
            raise UnknownRelease(type, id, release, there, known)
        return offers[0]

    def updates(
        self, type: str, id: str, release: str, *, pre_releases: bool = False
    ) -> tuple[Offer, ...]:
        """Return the newer releases that fit this Domogik, newest first.

        Pre-releases count if requested, or if one is installed.
        """
        installed = PackageRef(type, id, release).version
        with_pre_releases = pre_releases or installed.is_prerelease
        return tuple(
            offer
            for offer in self._of.get((type, id), ())
            if offer.version > installed
            and fits(offer.package, self.running)
            and (with_pre_releases or not offer.version.is_prerelease)
        )

    def _suitable(self, offers: list[Offer], pre_releases: bool) -> list[Offer]:
        fitting = [offer for offer in offers if fits(offer.package, self.running)]
        final = [offer for offer in fitting if not offer.version.is_prerelease]
        return fitting if pre_releases or not final else final
