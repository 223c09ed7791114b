"""Archives from package directories: the examples, and everything that is no package."""

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from domogik.packages.archive.unpacking import inspect
from domogik.packages.descriptor.draft import BrokenDescriptor
from domogik.packages.descriptor.files import read
from domogik.packages.publish.build import CannotBuild, create
from domogik.packages.publish.check import check

EXAMPLES = Path(__file__).parents[3] / "examples"
NAMES = ("clock", "diskfree", "ping", "script")
DESCRIPTOR = "src/share/domogik/plugins/diskfree.xml"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES / "diskfree", tmp_path / "diskfree")
    return tmp_path / "diskfree"


def _change(package: Path, old: str, new: str) -> None:
    text = (package / DESCRIPTOR).read_text()
    assert old in text
    (package / DESCRIPTOR).write_text(text.replace(old, new, 1))


def _names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_builds_passes_the_check_and_is_accepted_for_installation(
    tmp_path: Path, name: str
) -> None:
    archive = create(EXAMPLES / name, tmp_path)
    assert archive == tmp_path / f"plugin-{name}-1.0.0.tgz"
    unpacked = inspect(archive)
    assert str(unpacked.ref) == f"plugin-{name} 1.0.0"
    assert unpacked.warnings == ()
    assert set(unpacked.package.files) <= set(unpacked.files)
    for path in (EXAMPLES / name, archive):
        checked = check(path)
        assert (checked.ref, checked.errors, checked.warnings) == (unpacked.ref, (), ())


def test_the_same_files_give_the_same_bytes_whenever_and_by_whoever(package: Path) -> None:
    first = create(package, package).read_bytes()
    for path in package.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    assert create(package, package).read_bytes() == first


def test_the_archive_carries_nothing_of_this_machine(package: Path) -> None:
    script = package / "src/domogik_packages/xpl/bin/diskfree.py"
    script.chmod(0o750)
    with tarfile.open(create(package, package)) as tar:
        members = {member.name: member for member in tar}
    assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "")}
    assert members["src/domogik_packages/xpl/bin/diskfree.py"].mode == 0o755
    assert members["info.xml"].mode == 0o644
    assert all(member.isreg() for member in members.values())


def test_descriptor_and_icon_are_there_twice_and_the_descriptor_is_as_it_was_written(
    package: Path,
) -> None:
    with tarfile.open(create(package, package)) as tar:
        content = tar.extractfile("info.xml")
        assert content is not None
        assert content.read() == (package / DESCRIPTOR).read_bytes()
        assert "icon.png" in tar.getnames()
        assert "src/share/domogik/design/plugin/diskfree/icon.png" in tar.getnames()


def test_a_date_goes_into_the_archives_descriptor_and_nowhere_else(package: Path) -> None:
    before = (package / DESCRIPTOR).read_bytes()
    unpacked = inspect(create(package, package, generated="2024-05-01 12:00"))
    assert unpacked.package.generated == "2024-05-01 12:00"
    assert (package / DESCRIPTOR).read_bytes() == before


def test_a_package_that_forgot_to_list_itself_documentation_and_wheels_still_brings_them(
    package: Path,
) -> None:
    _change(package, f'<file path="{DESCRIPTOR}"/>', "")
    _change(package, '<file path="src/domogik_packages/docs/plugin/diskfree/index.md"/>', "")
    (package / "wheels").mkdir()
    (package / "wheels" / "a-1-py3-none-any.whl").write_bytes(b"x")
    names = _names(create(package, package))
    assert DESCRIPTOR in names
    assert "src/domogik_packages/docs/plugin/diskfree/index.md" in names
    assert "wheels/a-1-py3-none-any.whl" in names


def test_a_directory_that_is_listed_comes_whole_without_what_tools_leave(package: Path) -> None:
    _change(package, 'path="src/domogik_packages/xpl/bin/diskfree.py"', 'path="src"')
    rest = package / "src/domogik_packages/xpl/bin/__pycache__"
    rest.mkdir(exist_ok=True)
    (rest / "diskfree.cpython-311.pyc").write_bytes(b"x")
    (package / "src" / ".hidden").write_bytes(b"x")
    names = _names(create(package, package))
    assert "src/domogik_packages/xpl/bin/diskfree.py" in names
    assert not any("pyc" in name or "hidden" in name for name in names)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('path="src/domogik_packages/xpl', 'path="src/gone', "lists src/gone/bin/diskfree.py, whi"),
        ('path="src/domogik_packages/xpl', 'path="../xpl', "is not a path inside the package"),
        ('path="src/domogik_packages/xpl', 'path="/etc/xpl', "is not a path inside the package"),
        ("<version>1.0.0<", "<version>0.3.a.b<", "'0.3.a.b' is no version by PEP 440"),
        ("<id>diskfree<", "<id>diskful<", "call it as that"),
    ],
)
def test_what_nobody_could_install_is_not_built(
    package: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    _change(package, old, new)
    with pytest.raises(CannotBuild, match=words):
        create(package, tmp_path)
    assert list(tmp_path.glob("*.tgz*")) == []


def test_a_package_too_large_to_be_installed_is_not_built(package: Path, tmp_path: Path) -> None:
    (package / "wheels").mkdir()
    with (package / "wheels" / "huge.whl").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    with pytest.raises(CannotBuild, match=r"grows|too large"):
        create(package, tmp_path)
    assert list(tmp_path.glob("*.tgz*")) == []


def test_links_are_refused_wherever_they_lead(package: Path, tmp_path: Path) -> None:
    script = package / "src/domogik_packages/xpl/bin/diskfree.py"
    script.unlink()
    script.symlink_to("/etc/passwd")
    with pytest.raises(CannotBuild, match="leaves the package"):
        create(package, tmp_path)
    script.unlink()
    script.symlink_to(package / DESCRIPTOR)
    with pytest.raises(CannotBuild, match="neither a file nor a directory"):
        create(package, tmp_path)


def test_of_a_directory_with_several_packages_one_is_chosen(package: Path, tmp_path: Path) -> None:
    place = package / "src/share/domogik/plugins"
    shutil.copy(package / DESCRIPTOR, place / "other.xml")
    with pytest.raises(CannotBuild, match=r"dmg_pkgmgr create .* diskfree"):
        create(package, tmp_path)
    assert create(package, tmp_path, id="diskfree").name == "plugin-diskfree-1.0.0.tgz"
    with pytest.raises(CannotBuild, match="no descriptor of 'third'; it has diskfree, other"):
        create(package, tmp_path, id="third")


def test_a_directory_without_a_descriptor_or_with_two_is_told(package: Path) -> None:
    with pytest.raises(CannotBuild, match="no descriptor"):
        create(package / "src", package)
    shutil.copy(package / DESCRIPTOR, package / "src/share/domogik/plugins/other.json")
    with pytest.raises(CannotBuild, match="several descriptors"):
        create(package, package)


def test_a_broken_descriptor_is_told_with_its_line(package: Path) -> None:
    _change(package, "<id>diskfree</id>", "<id>disk free!</id>")
    with pytest.raises(BrokenDescriptor, match=r"diskfree\.xml:3: <id>"):
        create(package, package)


def test_an_older_archive_stays_whole_when_building_fails(package: Path, tmp_path: Path) -> None:
    archive = create(package, tmp_path)
    before = archive.read_bytes()
    (package / "src/domogik_packages/xpl/bin/diskfree.py").unlink()
    with pytest.raises(CannotBuild):
        create(package, tmp_path)
    assert archive.read_bytes() == before
    assert read(package / DESCRIPTOR).release == "1.0.0"


def without_files(package: Path) -> None:
    text = (package / DESCRIPTOR).read_text()
    before, _, rest = text.partition("<files>")
    (package / DESCRIPTOR).write_text(f"{before}<files/>{rest.partition('</files>')[2]}")


def test_without_a_list_of_files_all_of_src_and_the_icon_belong_to_it(package: Path) -> None:
    whole = _names(create(package, package))
    without_files(package)
    (package / "notes.txt").write_text("mine")
    (package / "src/domogik_packages/xpl/lib/__pycache__").mkdir(parents=True)
    checked = check(package)
    assert (checked.errors, checked.warnings) == ((), ())
    archive = create(package, package)
    assert set(_names(archive)) >= set(whole)
    assert "notes.txt" not in _names(archive)
    assert "src/domogik_packages/xpl/bin/diskfree.py" in _names(archive)
    assert check(archive).errors == ()


def test_without_a_list_of_files_nothing_of_a_neighbour_is_packed(package: Path) -> None:
    without_files(package)
    shutil.copy(package / DESCRIPTOR, (package / DESCRIPTOR).with_name("other.xml"))
    with pytest.raises(CannotBuild, match=r"lists no files, and .* holds several packages"):
        create(package, package, id="diskfree")


def test_a_plugin_is_not_packed_without_its_script(package: Path) -> None:
    name = "src/domogik_packages/xpl/bin/diskfree.py"
    _change(package, f'<file path="{name}"/>', "")
    with pytest.raises(CannotBuild, match=rf"needs its script {name}: add it to <files>"):
        create(package, package)
    without_files(package)
    (package / name).unlink()
    with pytest.raises(CannotBuild, match="there is no such file"):
        create(package, package)
    assert list(package.glob("*.tgz")) == []


def test_an_external_member_needs_no_script(package: Path) -> None:
    descriptor = package / "src/share/domogik/externals/tv.xml"
    descriptor.parent.mkdir()
    text = (package / DESCRIPTOR).read_text().replace("<id>diskfree<", "<id>tv<", 1)
    text = text.replace('type="plugin"', 'type="external"')
    text = text.replace(
        "<id>tv</id>", "<id>tv</id><vendor-id>acme</vendor-id><device-id>tv</device-id>"
    )
    descriptor.write_text(text)
    (package / DESCRIPTOR).unlink()
    without = text.partition("<files>")
    descriptor.write_text(f"{without[0]}<files/>{without[2].partition('</files>')[2]}")
    assert create(package, package).name == "external-tv-1.0.0.tgz"
