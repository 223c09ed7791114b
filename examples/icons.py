"""Draws the icons of the examples: `python examples/icons.py`. Needs nothing but Python."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

SIZE = 96
#: samples per pixel and direction, for smooth edges
FINE = 4

Colour = tuple[int, int, int]
#: the colour at a point; x and y run from -1 to 1, y downwards; None: nothing there
Picture = Callable[[float, float], Colour | None]

PAPER, INK, ACCENT = (246, 247, 249), (40, 52, 71), (0, 150, 136)


def tile(x: float, y: float) -> bool:
    """The rounded square that all icons stand on."""
    corner_x, corner_y = max(abs(x) - 0.66, 0), max(abs(y) - 0.66, 0)
    return math.hypot(corner_x, corner_y) <= 0.3


def segment(x: float, y: float, a: tuple[float, float], b: tuple[float, float]) -> float:
    """How far the point is from the line between `a` and `b`."""
    along_x, along_y = b[0] - a[0], b[1] - a[1]
    part = ((x - a[0]) * along_x + (y - a[1]) * along_y) / (along_x**2 + along_y**2)
    part = min(1.0, max(0.0, part))
    return math.hypot(x - a[0] - part * along_x, y - a[1] - part * along_y)


def diskfree(x: float, y: float) -> Colour | None:
    """A disk, a third of it used."""
    radius = math.hypot(x, y)
    if not 0.16 < radius < 0.66:
        return None
    turn = math.atan2(x, -y) % math.tau / math.tau
    return ACCENT if turn < 0.36 else INK


def clock(x: float, y: float) -> Colour | None:
    """A dial at ten past ten."""
    if 0.56 < math.hypot(x, y) < 0.68:
        return INK
    hands = ((-0.26, -0.17), (0.36, -0.24))
    return ACCENT if any(segment(x, y, (0, 0), hand) < 0.055 for hand in hands) else None


def ping(x: float, y: float) -> Colour | None:
    """Waves from a point."""
    radius, upwards = math.hypot(x, y - 0.48), y - 0.48 < -abs(x) * 0.75
    if radius < 0.13:
        return ACCENT
    return INK if upwards and any(abs(radius - r) < 0.06 for r in (0.38, 0.66, 0.94)) else None


def script(x: float, y: float) -> Colour | None:
    """A prompt and a cursor."""
    chevron = (segment(x, y, (-0.5, -0.38), (-0.1, 0)), segment(x, y, (-0.1, 0), (-0.5, 0.38)))
    if min(chevron) < 0.07:
        return INK
    return ACCENT if segment(x, y, (0.08, 0.38), (0.5, 0.38)) < 0.07 else None


def pixel(picture: Picture, column: int, row: int) -> bytes:
    """Red, green, blue and opacity, the mean of the samples."""
    total, opaque = [0, 0, 0], 0
    for sample in range(FINE * FINE):
        x = (column + (sample % FINE + 0.5) / FINE) / SIZE * 2 - 1
        y = (row + (sample // FINE + 0.5) / FINE) / SIZE * 2 - 1
        if tile(x, y):
            opaque += 1
            total = [sum(pair) for pair in zip(total, picture(x, y) or PAPER, strict=True)]
    mean = [part // max(opaque, 1) for part in total]
    return bytes([*mean, opaque * 255 // (FINE * FINE)])


def png(picture: Picture) -> bytes:
    """The picture as a PNG file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack("!I", len(content)) + kind + content + struct.pack("!I", check)

    rows = (
        b"\0" + b"".join(pixel(picture, column, row) for column in range(SIZE))
        for row in range(SIZE)
    )
    header = struct.pack("!IIBBBBB", SIZE, SIZE, 8, 6, 0, 0, 0)
    body = zlib.compress(b"".join(rows), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


if __name__ == "__main__":
    for picture in (diskfree, clock, ping, script):
        name = picture.__name__
        design = f"{name}/src/share/domogik/design/plugin/{name}"
        (Path(__file__).parent / design / "icon.png").write_bytes(png(picture))
