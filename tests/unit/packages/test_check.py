"""`check`: what is wrong, with file, line and element; and it never falls over."""

import gzip
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.packages.archive.unpacking import BrokenArchive, inspect
from domogik.packages.descriptor.files import read
from domogik.packages.publish.build import CannotBuild, create
from domogik.packages.publish.check import Checked, check

EXAMPLES = Path(__file__).parents[3] / "examples"
UNTIDY = Path(__file__).parent / "descriptors" / "old_bell.xml"
DESCRIPTOR = "src/share/domogik/plugins/ping.xml"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES / "ping", tmp_path / "ping")
    return tmp_path / "ping"


def _change(package: Path, old: str, new: str) -> None:
    text = (package / DESCRIPTOR).read_text()
    assert old in text
    (package / DESCRIPTOR).write_text(text.replace(old, new, 1))


def _sentences(checked: Checked) -> list[str]:
    return [str(problem) for problem in checked.warnings]


def _archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_an_untidy_descriptor_is_accepted_with_a_place_for_each_warning() -> None:
    checked = check(UNTIDY)
    assert str(checked.ref) == "plugin-old_bell 0.3.a.b"
    assert checked.errors == ()
    found = [problem for problem in checked.warnings if problem.line == 43]
    assert [(one.path, one.element) for one in found] == [(UNTIDY, "<list>")]


@pytest.mark.parametrize("name", ["manager", "rest", "dbmgr", "hub"])
def test_no_package_has_the_name_of_a_program_of_ours(
    package: Path, name: str, tmp_path: Path
) -> None:
    """Neither is it found good, nor built, nor taken where somebody else has built it."""
    _change(package, "<id>ping</id>", f"<id>{name}</id>")
    descriptor = (package / DESCRIPTOR).rename((package / DESCRIPTOR).with_stem(name))
    found = check(package)
    assert found.ref is None
    assert f"'{name}' is the name of a program" in str(found.errors[0])
    with pytest.raises(CannotBuild, match=f"'{name}' is the name of a program"):
        create(package, tmp_path)
    archive = _archive(tmp_path / f"plugin-{name}.tgz", {"info.xml": descriptor.read_bytes()})
    with pytest.raises(BrokenArchive, match=f"'{name}' is the name of a program"):
        inspect(archive)


def test_a_broken_descriptor_is_refused_with_its_place(package: Path) -> None:
    _change(package, "<id>ping</id>", "<id>../ping</id>")
    checked = check(package / DESCRIPTOR)
    assert checked.ref is None
    (error,) = checked.errors
    assert (error.path, error.line, error.element) == (package / DESCRIPTOR, 3, "<id>")


def test_a_descriptor_in_its_package_is_compared_with_the_files_that_are_there(
    package: Path,
) -> None:
    (package / "src/domogik_packages/xpl/lib/ping.py").unlink()
    (package / "src/share/domogik/design/plugin/ping/icon.png").write_bytes(b"GIF89a")
    for path in (package / DESCRIPTOR, package):
        sentences = _sentences(check(path))
        assert any(
            "<file path>: src/domogik_packages/xpl/lib/ping.py is not there" in sentence
            for sentence in sentences
        )
        assert any("no icon.png in PNG form" in sentence for sentence in sentences)


def test_a_plugin_without_its_script_is_refused(package: Path, tmp_path: Path) -> None:
    text = (package / DESCRIPTOR).read_bytes()
    for path in (package, package / DESCRIPTOR):
        assert check(path).errors == ()
        _change(package, "/bin/ping.py", "/bin/pong.py")
        (error,) = check(path).errors
        assert "does not list its script src/domogik_packages/xpl/bin/ping.py" in error.sentence
        (package / DESCRIPTOR).write_bytes(text)
    (package / "src/domogik_packages/xpl/bin/ping.py").unlink()
    (error,) = check(package).errors
    assert "ping.py is missing: there is nothing to run" in error.sentence
    (error,) = check(_archive(tmp_path / "plugin-ping-1.0.0.tgz", {"info.xml": text})).errors
    assert "plugin-ping 1.0.0 has no script src/domogik_packages" in error.sentence


def test_a_descriptor_by_itself_is_only_read(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "ping" / DESCRIPTOR, tmp_path / "ping.xml")
    assert check(tmp_path / "ping.xml").warnings == ()
    shutil.copy(EXAMPLES / "ping" / DESCRIPTOR, tmp_path / "pong.xml")
    assert "should be called ping.xml" in _sentences(check(tmp_path / "pong.xml"))[0]


def test_an_archive_is_compared_with_what_it_lists(tmp_path: Path) -> None:
    text = (EXAMPLES / "ping" / DESCRIPTOR).read_bytes()
    files = {"info.xml": text, "src/domogik_packages/xpl/bin/ping.py": b""}
    checked = check(_archive(tmp_path / "ping.tgz", files))
    assert str(checked.ref) == "plugin-ping 1.0.0"
    sentences = _sentences(checked)
    name = f"{tmp_path}/ping.tgz/info.xml"
    assert any(
        sentence.startswith(f"{name}:") and "not there" in sentence for sentence in sentences
    )
    assert any("should be called plugin-ping-1.0.0.tgz" in sentence for sentence in sentences)
    assert any("no icon.png" in sentence for sentence in sentences)


def test_a_broken_descriptor_in_an_archive_is_refused_with_its_place(tmp_path: Path) -> None:
    text = (EXAMPLES / "ping" / DESCRIPTOR).read_bytes().replace(b"<id>ping<", b"<id>p/ing<", 1)
    checked = check(_archive(tmp_path / "a.tgz", {"info.xml": text}))
    (error,) = checked.errors
    assert (error.path, error.line, error.element) == (tmp_path / "a.tgz" / "info.xml", 3, "<id>")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"readme": b""}, "holds no info.xml"),
        ({"info.xml": b"<a"}, "not XML"),
        ({"../evil": b""}, "leaves the package"),
        ({"/etc/evil": b""}, "no path inside the package"),
    ],
)
def test_an_archive_that_would_not_be_installed_is_refused(
    tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    (error,) = check(_archive(tmp_path / "a.tgz", files)).errors
    assert words in str(error)


def test_what_is_not_there_or_cannot_be_read_is_an_error_and_no_exception(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    os.mkfifo(tmp_path / "pipe")
    for name in ("gone.xml", "gone.tgz", "gone", "empty", "text", "pipe"):
        checked = check(tmp_path / name)
        assert checked.ref is None
        assert str(tmp_path / name) in str(checked.errors[0])


@given(content=st.binary(max_size=300), suffix=st.sampled_from([".xml", ".json", ".tgz", ""]))
def test_any_bytes_are_checked(tmp_path: Path, content: bytes, suffix: str) -> None:
    for number, written in enumerate((content, gzip.compress(content))):
        path = tmp_path / f"file{number}{suffix}"
        path.write_bytes(written)
        assert check(path).errors


def test_half_an_archive_is_refused(tmp_path: Path) -> None:
    whole = create(EXAMPLES / "ping", tmp_path)
    content = whole.read_bytes()
    for length in range(0, len(content), 97):
        whole.write_bytes(content[:length])
        assert check(whole).errors


def test_a_script_that_does_not_compile_is_refused_with_line_and_reason(
    package: Path, tmp_path: Path
) -> None:
    script = package / "src/domogik_packages/xpl/bin/ping.py"
    script.write_text("import os\nprint 'Python 2'\n")
    for checked in (check(package), check(create(package, tmp_path))):
        assert checked.ref is None
        (error,) = checked.errors
        assert error.path.as_posix().endswith("/src/domogik_packages/xpl/bin/ping.py")
        assert error.line == 2
        assert "does not compile: Missing parentheses in call to 'print'" in error.sentence


def test_of_a_tree_with_several_packages_only_the_own_scripts_are_looked_at(package: Path) -> None:
    other = package / "src/domogik_packages/xpl/bin/other.py"
    other.write_text("print 'Python 2'\n")
    assert check(package).errors == ()
    other.write_bytes(b"\0")
    listed = "src/domogik_packages/xpl/bin/ping.py"
    _change(package, listed, "src/domogik_packages/xpl/bin")
    assert "does not compile" in str(check(package).errors)


def test_a_package_of_a_later_domogik_is_read_and_says_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "info.json").write_text(
        """{"json_version": 2,
            "identity": {"name": "diskfree", "type": "plugin", "version": "1.2", "author": "A",
                         "author_email": "a@b", "description": "D", "tags": ["computer"],
                         "domogik_min_version": "0.4.0",
                         "dependencies": [{"id": "pyserial (>=2.4)", "type": "python"}]},
            "configuration": [{"key": "device", "type": "string", "required": true,
                               "default": "/dev/tty", "description": "Where"}],
            "sensors": {}, "device_types": {"diskfree.usage": {"id": "diskfree.usage"}}}"""
    )
    for path in (tmp_path, tmp_path / "info.json"):
        assert "Domogik 0.4 or later" in _sentences(check(path))[0]
    assert str(check(tmp_path / "info.json").ref) == "plugin-diskfree 1.2"
    (error,) = check(tmp_path).errors
    assert "there is nothing to run" in error.sentence
    package = read(tmp_path / "info.json")
    assert [(key.id, key.key, key.optional) for key in package.configuration] == [
        (0, "device", False)
    ]
    assert [one.id for one in package.dependencies] == ["pyserial (>=2.4)"]
    with pytest.raises(CannotBuild, match="have to be ported"):
        create(tmp_path, tmp_path)
