"""What the repositories offer together, and which of it is the right one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
from packaging.version import InvalidVersion, Version

from domogik import __version__
from domogik.errors import DomogikError, did_you_mean
from domogik.packages.descriptor.package import Package
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.repositories.sources import Source


class UnknownRelease(DomogikError):
    """No repository offers that; the text is the one that Domogik's clients know."""

    def __init__(
        self,
        type: str,
        id: str,
        release: str | None,
        offered: Sequence[str] = (),
        known: Iterable[str] = (),
    ) -> None:
        """`offered` are the releases there are of it, `known` the ids of that type."""
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

    `url` is where its archive is; `sha256` (hex) and `size` (bytes) are None where the repository
    does not say; `icon` is a PNG file of the cache. Of a package that came in a repository's list
    and not as a descriptor, `package` knows what the list says. One that is `signed` was verified
    when it was fetched, and digest and size are those that were signed.
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
        """Type, id and release."""
        return PackageRef.of(self.package)

    @property
    def version(self) -> Version:
        """To compare with other releases of the package."""
        return self.ref.version


def fits(package: Package, running: str = __version__) -> bool:
    """Whether this Domogik is as new as the package asks for.

    A development release counts as the one it becomes; what cannot be compared is no obstacle.
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
    """All offers: of each release the one of the highest priority; of those the first written.

    `as_of` is when the oldest of it was fetched (seconds since 1970), None when nothing ever was.
    `offers` may come in any order; those of equal priority in the order of `sources.list`.
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
        """All releases of all packages of that type, by id, the newest of each first.

        Also those that need a newer Domogik: `fits` tells.
        """
        return tuple(offer for offer in self.offers if offer.package.type == type)

    def releases(self, type: str, id: str) -> tuple[Offer, ...]:
        """All releases of a package, the newest first."""
        return tuple(self._of.get((type, id), ()))

    def find(
        self, type: str, id: str, release: str | None = None, *, pre_releases: bool = False
    ) -> Offer:
        """That release as it is written, or without one the newest that fits this Domogik.

        Pre-releases count when they are asked for, or where there is nothing else. A release that
        is named is found even if it needs a newer Domogik. Raises `UnknownRelease`.
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
        """The releases newer than that one that fit this Domogik, the newest first.

        Pre-releases count when they are asked for, and for who has one already.
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
