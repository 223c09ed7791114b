"""Which packages a host has and where their scripts lie, in both modes."""

import re
from pathlib import Path

import pytest

from domogik.config.home import Home
from domogik.packages.descriptor.reference import RESERVED_NAMES
from domogik.packages.store.changes import Store
from domogik.packages.store.installed import (
    developed_packages,
    find_packages,
    installed_packages,
    watched_directories,
)
from domogik.testing.local_host import DESCRIPTOR, KEYS

NEW, OLD = "domogik_packages/xpl/bin", "domogik/xpl/bin"
JSON = """{"json_version": 1, "identity": {"type": "plugin", "id": "%s", "version": "0.3",
 "category": "service", "description": "d", "changelog": "c", "documentation": "d",
 "author": "a", "author_email": "e"}, "configuration": [], "files": []}"""


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.create()
    return home


def descriptor(name, type="plugin", version="1.0"):
    member = "<vendor-id>acme</vendor-id><device-id>lamp</device-id>"
    return DESCRIPTOR.format(
        type=type,
        id=name,
        version=version,
        description="d",
        technology="service",
        member=member if type == "external" else "",
        keys=KEYS if type == "plugin" else "",
    )


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def release(home, name="clock", version="1.0", place=NEW, type="plugin"):
    """A release in the store, linked as installed."""
    root = home.store / f"{type}-{name}" / version
    share = root / "src" / "share" / "domogik" / f"{type}s"
    file = write(share / f"{name}.xml", descriptor(name, type, version))
    if type == "plugin":
        write(root / "src" / place / f"{name}.py")
    link = (home.plugins if type == "plugin" else home.externals) / f"{name}.xml"
    link.unlink(missing_ok=True)
    link.symlink_to(file)
    return root


def look(home, *prefixes):
    return installed_packages(home.plugins, home.externals, home.store, prefixes)


# Package mode


@pytest.mark.parametrize("place", [NEW, OLD])
def test_an_installed_plugin_runs_from_the_release_its_link_points_to(home, place):
    root = release(home, place=place)
    found = look(home)
    clock = found.plugins["clock"]
    assert (clock.package.release, clock.problem) == ("1.0", "")
    assert clock.script == root / "src" / place / "clock.py"
    assert (clock.source, clock.directory) == (root / "src", root)
    assert found.problems == ()


def test_replacing_the_link_is_all_an_update_takes(home):
    release(home)
    root = release(home, version="2.0")
    clock = look(home).plugins["clock"]
    assert clock.package.release == "2.0"
    assert clock.directory == root


def test_the_newer_layout_counts_where_a_package_has_both(home):
    root = release(home, place=OLD)
    write(root / "src" / NEW / "clock.py")
    assert look(home).plugins["clock"].script == root / "src" / NEW / "clock.py"


def test_a_link_that_points_nowhere_is_a_problem_and_hides_no_other(home):
    release(home)
    (home.plugins / "gone.xml").symlink_to(home.store / "plugin-gone" / "1.0" / "gone.xml")
    found = look(home)
    assert list(found.plugins) == ["clock"]
    assert "gone.xml" in found.problems[0]


def test_a_descriptor_put_there_by_hand_has_its_script_in_src_prefix(home, tmp_path):
    write(home.plugins / "clock.xml", descriptor("clock"))
    write(tmp_path / "dev" / "share" / "domogik" / "plugins" / "x", "")
    script = write(tmp_path / "dev" / OLD / "clock.py")
    clock = look(home, tmp_path / "dev").plugins["clock"]
    assert clock.script == script
    assert clock.source == tmp_path / "dev"


def test_without_one_it_says_where_its_script_was_looked_for(home, tmp_path):
    write(home.plugins / "clock.xml", descriptor("clock"))
    clock = look(home).plugins["clock"]
    assert clock.script is None
    assert clock.problem == "its script clock.py is nowhere in src_prefix, which names nothing"
    (tmp_path / "dev" / "share" / "domogik").mkdir(parents=True)
    assert str(tmp_path / "dev") in look(home, tmp_path / "dev").plugins["clock"].problem


def test_a_package_with_a_descriptor_in_json_is_installed_too(home):
    root = home.store / "plugin-clock" / "0.3"
    file = write(root / "src/share/domogik/plugins/clock.json", JSON % "clock")
    write(root / "src" / NEW / "clock.py")
    (home.plugins / "clock.json").symlink_to(file)
    clock = look(home).plugins["clock"]
    assert (clock.package.release, clock.directory) == ("0.3", root)


def test_of_two_forms_of_one_package_the_xml_counts_and_that_is_said(home):
    release(home)
    write(home.plugins / "clock.json", JSON % "clock")
    found = look(home)
    assert found.plugins["clock"].package.release == "1.0"
    assert "clock.xml counts instead" in found.problems[0]


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("broken.xml", "<package", "broken.xml"),
        ("other.xml", descriptor("clock"), "describes 'clock', not 'other'"),
        ("lamps.xml", descriptor("lamps", "external"), "a package of type external, not plugin"),
        ("big.json", " " * 2_000_000, "big.json"),
    ],
)
def test_what_is_no_descriptor_of_a_plugin_is_left_out_with_a_sentence(home, file, content, words):
    release(home)
    write(home.plugins / file, content)
    write(home.plugins / ".clock.xml.swp", "")
    write(home.plugins / "README", "")
    found = look(home)
    assert list(found.plugins) == ["clock"]
    assert len(found.problems) == 1
    assert words in found.problems[0]


def test_a_plugin_is_found_without_running_any_of_it(home):
    """The original imported a plugin to learn where it lies."""
    root = release(home)
    write(root / "src" / NEW / "clock.py", "raise SystemExit('was run')")
    write(root / "src" / "domogik_packages" / "__init__.py", "raise SystemExit('was run')")
    assert look(home).plugins["clock"].script is not None


def test_models_of_external_members_have_no_script(home):
    release(home, "lamps", type="external")
    found = look(home)
    lamps = found.externals["lamps"]
    assert (lamps.package.vendor, lamps.package.device) == ("acme", "lamp")
    assert (lamps.script, lamps.problem) == (None, "")
    assert found.plugins == {}


def test_directories_that_are_gone_have_nothing_in_them(tmp_path):
    nowhere = tmp_path / "nowhere"
    found = installed_packages(nowhere, nowhere, nowhere, [nowhere])
    assert (found.plugins, found.externals, found.problems) == ({}, {}, ())


def test_declared_keys_are_found_by_plugin(home):
    release(home)
    found = look(home)
    keys = {key.key: key.default for key in found.declared("clock")}
    assert keys["interval"] == "5"
    assert found.declared("ghost") is None


# Development mode


def developed(directory, name, type="plugin"):
    write(directory / "share" / "domogik" / f"{type}s" / f"{name}.xml", descriptor(name, type))
    if type == "plugin":
        write(directory / NEW / f"{name}.py")


def test_a_prefix_is_a_tree_or_a_directory_of_package_directories(tmp_path):
    developed(tmp_path / "tree", "clock")
    developed(tmp_path / "many" / "lamp" / "src", "lamp")
    developed(tmp_path / "many" / "owl" / "src", "owl")
    developed(tmp_path / "many" / "owls" / "src", "owls", "external")
    (tmp_path / "many" / "notes").mkdir()
    prefixes = [tmp_path / "tree", tmp_path / "many", tmp_path / "nowhere"]
    found = developed_packages(prefixes)
    assert sorted(found.plugins) == ["clock", "lamp", "owl"]
    assert list(found.externals) == ["owls"]
    assert found.problems == ()
    lamp = found.plugins["lamp"]
    assert lamp.directory == tmp_path / "many" / "lamp"
    assert lamp.source == tmp_path / "many" / "lamp" / "src"
    watched = watched_directories(prefixes)
    assert tmp_path / "many" in watched
    assert tmp_path / "tree" / "share" / "domogik" / "plugins" in watched
    assert all(path.is_dir() for path in watched)
    assert len(set(watched)) == len(watched)


def test_a_package_that_is_there_twice_counts_once_and_that_is_said(tmp_path):
    developed(tmp_path / "one", "clock")
    developed(tmp_path / "two", "clock")
    found = developed_packages([tmp_path / "one", tmp_path / "two"])
    assert found.plugins["clock"].source == tmp_path / "one"
    (sentence,) = found.problems
    assert sentence.startswith(f"{tmp_path / 'two'}")
    assert f"plugin clock is left out: {tmp_path / 'one'}" in sentence


def test_the_mode_decides_where_is_looked(home, tmp_path):
    release(home)
    developed(tmp_path / "dev", "lamp")
    prefixes: list[Path] = [tmp_path / "dev"]
    assert list(find_packages(home, True, prefixes).plugins) == ["clock"]
    assert list(find_packages(home, False, prefixes).plugins) == ["lamp"]


# Names of our own programs


@pytest.mark.parametrize("name", ["manager", "rest", "dbmgr", "hub"])
def test_an_installed_package_with_the_name_of_a_program_of_ours_does_not_run(home, name):
    release(home, name)
    entry = look(home).plugins[name]
    assert entry.script is None
    assert entry.problem == (
        f"'{name}' is the name of a program of Domogik's own: choose another id"
    )


def test_it_can_be_uninstalled_all_the_same(home):
    root = release(home, "rest")
    Store(home).uninstall("plugin", "rest")
    assert not root.exists()
    assert look(home).plugins == {}


def test_a_model_of_external_members_with_such_a_name_is_told(home):
    release(home, "hub", type="external")
    (problem,) = look(home).problems
    assert "'hub' is the name of a program" in problem


def test_every_program_of_ours_keeps_its_name():
    setup = (Path(__file__).parents[3] / "setup.py").read_text()
    commands = set(re.findall(r'"dmg_([a-z]+) = ', setup))
    assert {"manager", "hub"} <= commands <= RESERVED_NAMES
