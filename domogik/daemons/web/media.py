"""Which media type a file has by the ending of its name; the same on every machine."""

from __future__ import annotations

import mimetypes
from collections import defaultdict

#: the name of the file that says so
MEDIA_TYPES = "mime.types"
#: what older Pythons do not know, or know otherwise
_OURS = {
    ".avif": "image/avif",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".md": "text/markdown",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}


def media_types() -> dict[str, tuple[str, ...]]:
    """Media type -> endings without their dot, as Python knows them, without the machine's own."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for ending, type in sorted({**mimetypes.MimeTypes().types_map[True], **_OURS}.items()):
        found[type].append(ending.removeprefix("."))
    return {type: tuple(endings) for type, endings in sorted(found.items())}
