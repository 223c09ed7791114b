"""Creates a new package: a working plugin, its descriptor, icon, test and README."""

from __future__ import annotations

import keyword
import re
import struct
import zlib
from importlib import resources
from pathlib import Path

from domogik.errors import NotPossible
from domogik.packages.descriptor.package import PNG_SIGNATURE, SCRIPTS
from domogik.packages.descriptor.reference import ID, refusal

_SIZE = 96


def scaffold(id: str, directory: Path) -> Path:
    """Write a new package to `directory`/`id` and return that path; nothing is overwritten.

    Blocks. Raises `NotPossible` and `OSError`.
    """
    if not ID.fullmatch(id) or not re.search(r"[a-z]", id):
        raise NotPossible(
            f"'{id}' cannot be the id of a plugin: 1 to 8 of a-z, 0-9 and _, with a letter"
        )
    if refusal(id):
        raise NotPossible(refusal(id))
    package = directory / id
    if package.exists():
        raise NotPossible(f"{package} is there already: choose another id, or remove it")
    script = SCRIPTS[0].format(id=id)
    name = id.strip("_0123456789").title().replace("_", "")
    if keyword.iskeyword(name):  # none, true and false
        name += "Plugin"
    words = {"id": id, "name": name, "script": script}
    files = {
        script: "plugin.py.in",
        f"src/share/domogik/plugins/{id}.xml": "descriptor.xml.in",
        f"tests/test_{id}.py": "test.py.in",
        "README.md": "README.md.in",
    }
    templates = resources.files("domogik.packages.publish") / "templates"
    for place, template in files.items():
        path = package / place
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (templates / template).read_text(encoding="utf-8")
        path.write_text(text.format(**words), encoding="utf-8")
    icon = package / f"src/share/domogik/design/plugin/{id}/icon.png"
    icon.parent.mkdir(parents=True)
    icon.write_bytes(_icon())
    return package


def _icon() -> bytes:
    """Return a square of one colour in PNG form."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack("!I", len(content)) + checked + struct.pack("!I", zlib.crc32(checked))

    row = b"\0" + bytes((0, 150, 136)) * _SIZE
    header = struct.pack("!IIBBBBB", _SIZE, _SIZE, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(row * _SIZE)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(chunk(kind, content) for kind, content in parts)
