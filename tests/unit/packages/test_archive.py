"""What comes out of an archive that anybody may have made, and what never does."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packed import changed, content, descriptor, file, pack, package, tree

from domogik.packages.archive.unpacking import BrokenArchive, Limits, inspect, unpack

GOOD = [file(name, data) for name, data in content().items()]


def _refused(path: Path, limits: Limits | None = None) -> str:
    """The sentence of the refusal, and nothing lies where it should not."""
    outside = path.parent / "outside"
    inside = outside / "inside"
    inside.mkdir(parents=True)
    with pytest.raises(BrokenArchive) as caught:
        unpack(path, inside, limits)
    assert [entry.name for entry in outside.iterdir()] == ["inside"]
    with pytest.raises(BrokenArchive):
        inspect(path, limits)
    return str(caught.value)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_file_of_a_package_comes_out_as_it_went_in(tmp_path: Path, format: int) -> None:
    long = "docs/" + "/".join(["directory"] * 9) + "/" + "name" * 20
    archive = pack(tmp_path / "a.tgz", [*GOOD, file(long, b"deep")], format)
    inside = tmp_path / "inside"
    inside.mkdir()
    unpacked = unpack(archive, inside)
    wanted = {**content(), long: b"deep"}
    assert {name: (inside / name).read_bytes() for name in unpacked.files} == wanted
    assert str(unpacked.ref) == "plugin-demo 1.0"
    assert unpacked.descriptor == "info.xml"
    assert unpacked.warnings == ()
    assert inspect(archive).files == unpacked.files


def test_names_that_are_not_ascii_come_out_right(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tgz", [*GOOD, file("docs/où.txt"), file("docs/" + "é" * 100)])
    (tmp_path / "inside").mkdir()
    unpack(archive, tmp_path / "inside")
    assert (tmp_path / "inside/docs/où.txt").is_file()
    assert (tmp_path / "inside/docs" / ("é" * 100)).is_file()


def test_a_file_larger_than_any_buffer_comes_out_whole(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    archive = pack(tmp_path / "a.tgz", [file("wheels/big.whl", data), *GOOD])
    (tmp_path / "inside").mkdir()
    unpack(archive, tmp_path / "inside")
    assert (tmp_path / "inside/wheels/big.whl").read_bytes() == data


def test_an_archive_may_begin_with_a_dot_and_hold_directories(tmp_path: Path) -> None:
    members = [
        file("./", b"", type=tarfile.DIRTYPE),
        file("./empty/", b"", type=tarfile.DIRTYPE),
        *(file(f"./{name}", data) for name, data in content().items()),
        file("./src", b"", type=tarfile.DIRTYPE),
    ]
    (tmp_path / "inside").mkdir()
    unpack(pack(tmp_path / "a.tgz", members), tmp_path / "inside")
    assert tree(tmp_path / "inside")["empty"] == "directory"


def test_an_archive_made_of_several_gzip_streams_is_one_archive(tmp_path: Path) -> None:
    raw = gzip.decompress(package(tmp_path / "a.tgz").read_bytes())
    (tmp_path / "b.tgz").write_bytes(gzip.compress(raw[:1000]) + gzip.compress(raw[1000:]))
    assert inspect(tmp_path / "b.tgz").files == inspect(tmp_path / "a.tgz").files


def test_an_archive_of_hundreds_of_thousands_of_empty_gzip_streams_is_refused_early(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.tgz").write_bytes(gzip.compress(b"") * 200_000)
    assert "more than 5000 gzip streams" in _refused(tmp_path / "a.tgz")


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../outside.txt",
        "src/../../outside.txt",
        "src/..",
        "a\\..\\b",
        "C:/windows",
        "c:file",
        "bad\nname",
        "bad\x1bname",
        "bad\x7fname",
        "bad\x85name",
        "n" * 256,
        "/".join(["d"] * 40),
        "/".join(["directory"] * 60),
    ],
)
def test_a_name_that_is_no_plain_path_inside_is_refused(tmp_path: Path, name: str) -> None:
    assert "member" in _refused(pack(tmp_path / "a.tgz", [*GOOD, file(name)]))


def test_a_name_with_a_zero_in_it_is_refused(tmp_path: Path) -> None:
    info, data = file("placeholder")
    info.pax_headers = {"path": "a\0b"}
    assert "character" in _refused(pack(tmp_path / "a.tgz", [*GOOD, (info, data)]))


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    archive = pack(tmp_path / "a.tgz", [*GOOD, file(name)], tarfile.GNU_FORMAT)
    assert "UTF-8" in _refused(archive)


@pytest.mark.parametrize(
    "type",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
        b"Z",
    ],
)
def test_only_files_and_directories_come_out(tmp_path: Path, type: bytes) -> None:
    odd = file("src/odd", b"", type=type, linkname="/etc/passwd")
    archive = pack(tmp_path / "a.tgz", [*GOOD, odd], tarfile.GNU_FORMAT)
    assert "neither a file nor a directory" in _refused(archive)


def test_a_link_and_then_a_file_behind_it_write_nothing_outside(tmp_path: Path) -> None:
    link = file("src/out", b"", type=tarfile.SYMTYPE, linkname="..")
    _refused(pack(tmp_path / "a.tgz", [*GOOD, link, file("src/out/evil")]))


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    twice = [*GOOD, file("src/a", b"1"), file("./src//a", b"2")]
    assert "twice" in _refused(pack(tmp_path / "a.tgz", twice))


def test_a_file_that_is_also_a_directory_is_refused(tmp_path: Path) -> None:
    _refused(pack(tmp_path / "a.tgz", [*GOOD, file("src/a"), file("src/a/b")]))


def test_a_directory_that_is_also_a_file_is_refused(tmp_path: Path) -> None:
    _refused(pack(tmp_path / "a.tgz", [*GOOD, file("src/a/b"), file("src/a")]))


def test_names_that_differ_by_case_are_two_files(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tgz", [*GOOD, file("docs/A", b"1"), file("docs/a", b"2")])
    (tmp_path / "inside").mkdir()
    unpack(archive, tmp_path / "inside")
    assert (tmp_path / "inside/docs/A").read_bytes() == b"1"
    assert (tmp_path / "inside/docs/a").read_bytes() == b"2"


def test_of_the_modes_only_may_be_executed_is_taken(tmp_path: Path) -> None:
    members = [*GOOD, file("run", mode=0o7777), file("read", mode=0o4000)]
    (tmp_path / "inside").mkdir()
    before = os.umask(0o022)
    try:
        unpack(pack(tmp_path / "a.tgz", members), tmp_path / "inside")
    finally:
        os.umask(before)
    assert (tmp_path / "inside/run").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "inside/read").stat().st_mode & 0o7777 == 0o644
    assert (tmp_path / "inside/src").stat().st_mode & 0o7777 == 0o755


def test_a_bomb_of_zeros_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    zeros = [file(f"zeros{n}", bytes(8_000_000)) for n in range(4)]
    written = _refused(pack(tmp_path / "a.tgz", [*GOOD, *zeros]))
    assert "grows" in written
    size = sum(path.stat().st_size for path in tmp_path.rglob("zeros*"))
    assert size <= Limits().ratio_from


def test_a_file_that_is_too_large_is_refused_before_it_is_written(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tgz", [*GOOD, file("big", os.urandom(2000))])
    assert "too large" in _refused(archive, Limits(member_bytes=1999))
    assert not list(tmp_path.rglob("big"))


def test_files_that_are_too_large_together_are_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.tgz", [*GOOD, *(file(f"f{n}", bytes(900)) for n in range(9))])
    assert "more than 9000 bytes" in _refused(archive, Limits(total_bytes=9000))


def test_a_size_that_is_a_lie_is_refused(tmp_path: Path) -> None:
    info, data = file("liar")
    info.pax_headers = {"size": str(10**11)}
    assert "too large" in _refused(pack(tmp_path / "a.tgz", [*GOOD, (info, data)]))


def test_a_hundred_thousand_members_are_refused(tmp_path: Path) -> None:
    block = file("d", b"", type=tarfile.DIRTYPE)[0].tobuf(tarfile.USTAR_FORMAT)
    with gzip.open(tmp_path / "a.tgz", "wb", compresslevel=1) as out:
        out.write(block * 100_000)
    assert "more than 10000" in _refused(tmp_path / "a.tgz")


def test_directories_that_names_imply_count_too(tmp_path: Path) -> None:
    deep = [file(f"{n}/a/b/c/d/e/f/g/h/i/j") for n in range(20)]
    assert "more than 100" in _refused(pack(tmp_path / "a.tgz", deep), Limits(members=100))


def test_an_extended_header_may_not_eat_the_memory(tmp_path: Path) -> None:
    header = file("x", b"", type=tarfile.XHDTYPE, size=10**9)[0].tobuf(tarfile.USTAR_FORMAT)
    with gzip.open(tmp_path / "a.tgz", "wb") as out:
        out.write(header + bytes(2_000_000))
    assert "too large" in _refused(tmp_path / "a.tgz")


def test_an_extended_header_of_digits_takes_no_time(tmp_path: Path) -> None:
    data = b"1" * 65_000
    header = file("x", b"", type=tarfile.XHDTYPE, size=len(data))[0].tobuf(tarfile.USTAR_FORMAT)
    with gzip.open(tmp_path / "a.tgz", "wb") as out:
        out.write((header + data + bytes(-len(data) % 512)) * 100)
    assert "cannot be read" in _refused(tmp_path / "a.tgz")


def test_a_file_with_holes_is_refused(tmp_path: Path) -> None:
    info, data = file("holes")
    info.pax_headers = {"GNU.sparse.realsize": "1000000000"}
    assert "holes" in _refused(pack(tmp_path / "a.tgz", [*GOOD, (info, data)]))


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_an_archive_that_was_cut_is_refused(tmp_path: Path, part: float) -> None:
    data = package(tmp_path / "whole.tgz").read_bytes()
    (tmp_path / "a.tgz").write_bytes(data[: int(len(data) * part)])
    _refused(tmp_path / "a.tgz")


def test_a_damaged_header_does_not_end_the_list_in_silence(tmp_path: Path) -> None:
    raw = bytearray(gzip.decompress(package(tmp_path / "whole.tgz").read_bytes()))
    second = 512 + -(-len(content()["info.xml"]) // 512) * 512
    raw[second] ^= 0xFF
    (tmp_path / "a.tgz").write_bytes(gzip.compress(bytes(raw)))
    assert "checksum" in _refused(tmp_path / "a.tgz")


def test_a_wrong_checksum_of_gzip_is_refused(tmp_path: Path) -> None:
    data = bytearray(package(tmp_path / "whole.tgz").read_bytes())
    data[-8:-4] = struct.pack("<I", zlib.crc32(b"something else"))
    (tmp_path / "a.tgz").write_bytes(data)
    assert "damaged" in _refused(tmp_path / "a.tgz")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"<html>404</html>" * 100)
    assert "not gzip" in _refused(tmp_path / "a.tgz")


def test_an_archive_without_a_descriptor_is_no_package(tmp_path: Path) -> None:
    assert "no package" in _refused(pack(tmp_path / "a.tgz", [file("readme")]))


def test_an_archive_that_describes_two_packages_is_refused(tmp_path: Path) -> None:
    two = [
        file("src/share/domogik/plugins/demo.xml", descriptor()),
        file("src/share/domogik/plugins/other.xml", descriptor(id="other")),
    ]
    assert "several packages" in _refused(pack(tmp_path / "a.tgz", two))


def test_a_package_that_does_not_list_its_descriptor_has_the_one_at_the_root(
    tmp_path: Path,
) -> None:
    archive = changed(
        tmp_path / "a.tgz", lambda files: files.pop("src/share/domogik/plugins/demo.xml")
    )
    assert inspect(archive).descriptor == "info.xml"


def test_a_package_packed_by_hand_has_the_one_among_its_files(tmp_path: Path) -> None:
    archive = changed(tmp_path / "a.tgz", lambda files: files.pop("info.xml"))
    assert inspect(archive).descriptor == "src/share/domogik/plugins/demo.xml"


def test_a_descriptor_that_stands_in_for_another_package_is_refused(tmp_path: Path) -> None:
    other = [file("src/share/domogik/plugins/other.xml", descriptor())]
    assert "plugin-demo" in _refused(pack(tmp_path / "a.tgz", other))


def test_a_broken_descriptor_is_refused_with_its_name_in_the_archive(tmp_path: Path) -> None:
    bad = changed(tmp_path / "a.tgz", lambda files: files.update({"info.xml": b"<package>\n<oops"}))
    sentence = _refused(bad)
    assert sentence.startswith("info.xml:2: not XML")


@pytest.mark.parametrize(
    "text",
    [
        b'<!DOCTYPE a [<!ENTITY a "aaaa">]><package type="plugin">&a;</package>',
        b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><package>&a;</package>',
        b"\xff\xfe<package",
        b"<package type='plugin'><id>../../x</id><version>1</version></package>",
        b"<package type='plugin'><id>x</id><version>../../etc</version></package>",
        b" " * (1024 * 1024 + 1),
    ],
)
def test_a_hostile_descriptor_is_refused(tmp_path: Path, text: bytes) -> None:
    _refused(changed(tmp_path / "a.tgz", lambda files: files.update({"info.xml": text})))


def test_a_package_of_old_keeps_domogik_itself_visible(tmp_path: Path) -> None:
    old = changed(
        tmp_path / "a.tgz",
        lambda files: files.update(
            {"src/domogik/__init__.py": b"", "src/domogik/xpl/lib/demo.py": b"pass"}
        ),
    )
    (tmp_path / "inside").mkdir()
    unpacked = unpack(old, tmp_path / "inside")
    assert not (tmp_path / "inside/src/domogik/__init__.py").exists()
    assert (tmp_path / "inside/src/domogik/xpl/lib/demo.py").exists()
    assert "src/domogik/__init__.py is left out" in unpacked.warnings[0]


def test_a_plugin_without_its_script_can_be_looked_at_and_not_installed(tmp_path: Path) -> None:
    archive = changed(
        tmp_path / "a.tgz", lambda files: files.pop("src/domogik_packages/xpl/bin/demo.py")
    )
    with pytest.raises(BrokenArchive, match=r"has no script src/domogik_packages/xpl/bin/demo\.py"):
        inspect(archive).check_script()


def test_a_full_disk_is_this_hosts_error_and_not_the_archives(tmp_path: Path) -> None:
    archive = package(tmp_path / "a.tgz")
    with pytest.raises(OSError, match="No such file"):
        unpack(archive, tmp_path / "nowhere")


@settings(max_examples=300)
@given(data=st.data())
def test_whatever_the_bytes_are_nothing_but_a_refusal_comes_of_it(
    tmp_path: Path, data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=data.draw(st.integers(0, 2))) as tar:
        for name in ("info.xml", "a" * 99 + "/" + "b" * 20, "où"):
            info, content = file(name, descriptor())
            info.mtime = 1.5  # type: ignore[assignment]
            tar.addfile(info, io.BytesIO(content))
    raw = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    packed = bytearray(gzip.compress(bytes(raw[: data.draw(st.integers(0, len(raw)))])))
    for _ in range(data.draw(st.integers(0, 1))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "any.tgz"
    path.write_bytes(packed)
    try:
        inspect(path)
    except BrokenArchive as error:
        assert str(error)
