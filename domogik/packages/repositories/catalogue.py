"""The lists of a repository, in the formats of both kinds of clients.

Old clients read a text with a `type/id/release` on each line; newer ones a status and an archive
with `repo.info` and all icons. `sha256` and `size` of archives are additions, which they ignore.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from domogik.packages.descriptor.package import Package
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.descriptor.writing import JSON_VERSION
from domogik.packages.signing.targets import METADATA

#: the first line of the list, exactly: clients take the address for a repository by it
FIRST_LINE = "Domogik Repository"
#: the members of the archive
INFO, IMAGES = "repo.info", "images"
_NOT_IN_AN_IMAGE = re.compile(r"[\s\"'&/\\?#]")
#: 1980-01-01, so that the same packages give the same bytes
_TIME = 315532800

#: an entry of `repo.info`
Item = dict[str, Any]


def place(ref: PackageRef) -> str:
    """Return `<type>/<id>/<release>`, the end of every URL of a package."""
    return f"{ref.type}/{ref.id}/{ref.release}"


def package_list(refs: Iterable[PackageRef]) -> bytes:
    """Return the list for old clients."""
    return "".join(f"{line}\n" for line in (FIRST_LINE, *map(place, refs))).encode()


def item(package: Package, url: str, sha256: str, size: int) -> Item:
    """Return the entry of a package whose archive has that digest and size in bytes.

    `url` is the repository's URL with a slash at its end, or empty: then `archive_url` is relative.
    """
    ref = PackageRef.of(package)
    dependencies = [{"id": one.id, "type": one.type} for one in package.dependencies]
    return {
        "id": package.id,
        "version": package.release,
        "generated": package.generated,
        "type": package.type,
        "name": package.id,
        "fullname": ref.fullname,
        "changelog": package.changelog,
        "author": package.author,
        "author_email": package.author_email,
        "domogik_min_version": package.min_version,
        "documentation": package.documentation,
        "description": package.description,
        "category": package.technology,
        "dependencies": dependencies,
        "archive_url": f"{url}download/{place(ref)}",
        "source": url.rstrip("/"),
        "sha256": sha256,
        "size": size,
    }


def status(name: str, url: str, generated: str, count: int, *, signed: bool = False) -> Item:
    """Return the status document; `count` is increased when the packages change.

    A signed one has the URL of its metadata, so that clients notice the change.
    """
    signatures = {"metadata_url": f"{url}{METADATA}"} if signed else {}
    return {
        "json_version": JSON_VERSION,
        "id": re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "repository",
        "name": name,
        "generated": generated,
        "count": count,
        "status_url": f"{url}repository.json",
        "data_url": f"{url}data",
        "icon_url": f"{url}icon",
        **signatures,
    }


def as_text(document: Mapping[str, Any]) -> bytes:
    """Return a document as it is served."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def image(ref: PackageRef) -> str:
    """Return the icon's name in the archive."""
    name = f"icon_{ref.type}_{ref.id}_{ref.release}.png".lower()
    return f"{IMAGES}/{_NOT_IN_AN_IMAGE.sub('_', name)}"


def data_archive(info: Item, items: Sequence[Item], icons: Mapping[str, bytes]) -> bytes:
    """Return the archive for newer clients: `repo.info`, and the icons by their names in it."""
    output = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=output, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        _add(archive, INFO, as_text({**info, "packages": list(items)}))
        for name in sorted(icons):
            _add(archive, name, icons[name])
    return output.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size, header.mtime, header.mode = len(content), _TIME, 0o644
    archive.addfile(header, io.BytesIO(content))
