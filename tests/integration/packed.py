"""Archives of packages for tests: good ones, and the parts to make bad ones from."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

DESCRIPTOR = """<package type="{type}">
  <id>{id}</id>
  <description>A package for tests</description>
  <changelog>none</changelog>
  <version>{release}</version>
  <documentation>none</documentation>
  <author>nobody</author>
  <author-email>nobody@domogik.example</author-email>
  <domogik-min-version>{minimum}</domogik-min-version>
  {member}
  <configuration-keys/>
  <files><file path="{own}"/></files>
  <dependencies/>
  <udev-rules/>
  <device_technology><id>service</id><name/><description/></device_technology>
  <device_types/>
  <device_feature_models/>
</package>
"""
JSON = """{{"json_version": 1, "identity": {{"type": "{type}", "id": "{id}", "version": "{release}",
"category": "service", "description": "x", "documentation": "x", "changelog": "x", "author": "x",
"author_email": "x"}}, "technology": {{"id": "service"}}, "configuration": [], "files": ["a"]}}"""
MEMBER = "<vendor-id>acme</vendor-id><device-id>box</device-id>"


def descriptor(
    release: str = "1.0",
    *,
    id: str = "demo",
    type: str = "plugin",
    minimum: str = "0.1",
    form: str = "xml",
) -> bytes:
    """A descriptor without faults."""
    text = DESCRIPTOR if form == "xml" else JSON
    return text.format(
        type=type,
        id=id,
        release=release,
        minimum=minimum,
        member=MEMBER if type == "external" else "",
        own=f"src/share/domogik/{type}s/{id}.xml",
    ).encode()


def content(release: str = "1.0", **what: str) -> dict[str, bytes]:
    """The files of a package: descriptor, script, icon, something that only this release has."""
    type, id = what.get("type", "plugin"), what.get("id", "demo")
    own = descriptor(release, **what)
    form = what.get("form", "xml")
    return {
        f"info.{form}": own,
        f"src/share/domogik/{type}s/{id}.{form}": own,
        f"src/share/domogik/design/{type}/{id}/icon.png": b"\x89PNG\r\n\x1a\n" + release.encode(),
        f"src/domogik_packages/xpl/bin/{id}.py": f"print('{release}')\n".encode(),
        f"src/domogik_packages/xpl/lib/only_{release.replace('.', '_')}.py": b"",
    }


def file(name: str, data: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """A member; `fields` are those of `TarInfo`, whatever they do to it."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def pack(
    path: Path,
    members: Iterable[tuple[tarfile.TarInfo, bytes]],
    format: int = tarfile.PAX_FORMAT,
) -> Path:
    """An archive with these members, in their order, each followed by its data."""
    with tarfile.open(path, "w:gz", format=format, compresslevel=6) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


def package(path: Path, release: str = "1.0", **what: str) -> Path:
    """The archive of a package without faults."""
    files = content(release, **what)
    return pack(path, [file(name, data) for name, data in files.items()])


def changed(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive of a package after something was done to its files."""
    files = content()
    change(files)
    return pack(path, [file(name, data) for name, data in files.items()])


def tree(directory: Path) -> dict[str, str]:
    """All below a directory: what each path is, and its content or where it leads."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name] = "directory"
        else:
            found[name] = repr(path.read_bytes())
    return found
