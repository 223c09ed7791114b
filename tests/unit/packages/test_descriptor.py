"""Descriptors as people have them: understood where one can, refused with the place where not."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.components.model import ConfigurationKey
from domogik.packages.descriptor.draft import BrokenDescriptor
from domogik.packages.descriptor.files import read, read_directory
from domogik.packages.descriptor.json_form import parse_json
from domogik.packages.descriptor.package import (
    Dependency,
    DeviceType,
    FeatureModel,
    Repository,
    UdevRule,
)
from domogik.packages.descriptor.validation import validate
from domogik.packages.descriptor.xml_form import parse_xml

DESCRIPTORS = Path(__file__).parent / "descriptors"


def _changed(tmp_path: Path, name: str, old: str, new: str) -> Path:
    text = (DESCRIPTORS / name).read_text()
    assert old in text
    path = tmp_path / name
    path.write_text(text.replace(old, new, 1))
    return path


def test_a_tidy_plugin_is_read_completely_and_without_a_warning() -> None:
    package = read(DESCRIPTORS / "rainfall.xml")
    assert package.warnings == ()
    assert (package.type, package.id, package.release) == ("plugin", "rainfall", "1.2")
    assert package.full_name == "plugin-rainfall"
    assert package.technology == "weather"
    assert package.technology_name == "Weather"
    assert package.description == (
        "Counts the tips of a rain gauge.\nWorks with gauges that close a contact."
    )
    assert package.changelog == "1.2\n- counts while the house sleeps"
    assert package.documentation == "http://docs.example.org/rainfall"
    assert (package.author, package.author_email) == ("Ann Author", "ann@example.org")
    assert package.min_version == "0.2.0"
    assert (package.vendor, package.device) == ("", "")
    assert package.path == DESCRIPTORS / "rainfall.xml"
    assert package.configuration == (
        ConfigurationKey(0, "startup-plugin", "boolean", "Start with Domogik", "False"),
        ConfigurationKey(1, "pin", "number", "Number of the input", None, interface=True),
        ConfigurationKey(
            2, "unit", "enum", "What is shown", "mm", options=("mm", "inch"), optional=True
        ),
    )
    assert package.files == (
        "src/domogik_packages/xpl/bin/rainfall.py",
        "src/share/domogik/plugins/rainfall.xml",
    )
    assert package.dependencies == (
        Dependency("python", "pyserial (>=2.4)"),
        Dependency("plugin", "clock"),
    )
    assert package.udev_rules == (
        UdevRule("RG1", "Gauge on USB", "rainfall.rules", 'KERNEL=="ttyUSB*", SYMLINK+="rainfall"'),
    )
    assert package.device_types == (DeviceType("weather.gauge", "Rain gauge", "A rain gauge"),)
    assert package.feature_models == (
        FeatureModel(
            "weather.gauge.rain",
            "Rain",
            "sensor",
            "weather.gauge",
            "number",
            False,
            '{"unit":"mm"}',
            "current",
        ),
    )


def test_an_untidy_plugin_is_read_all_the_same() -> None:
    package = read(DESCRIPTORS / "old_bell.xml")
    assert (package.id, package.description) == ("old_bell", "Rings.")
    assert package.technology == "bell"
    assert package.min_version == "0.1.0"
    assert [(key.id, key.key, key.default) for key in package.configuration] == [
        (0, "startup-plugin", "False"),
        (1, "loudness", "0"),
        (2, "Bell name", None),
        (3, "model", None),
        (4, "rings", None),
    ]
    assert package.configuration[1].options == ("1", "2")
    assert [dependency.id for dependency in package.dependencies] == [
        "cjson",
        "pySerial > 2.4",
        "heyu",
    ]
    assert [known.id for known in package.device_types] == ["bell.door"]


def test_an_element_that_does_not_count_is_warned_of(tmp_path):
    path = tmp_path / "lamp.xml"
    path.write_text(
        "<package type='plugin'><id>lamp</id><version>1.0</version>"
        "<dependencies><dependency type='python'>x</dependency></dependencies></package>"
    )
    package = read(path)
    assert package.dependencies == ()
    (said,) = [one for one in map(str, package.warnings) if "is ignored" in one]
    assert said.endswith("<dependency>: is ignored: what counts here is <dep>")


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        (15, "<device_types>: is there again; all of them are read as one"),
        (17, "<technology>: 'service' differs from the technology's id 'bell', which counts"),
        (19, "<version>: '0.3.a.b' is no version that can be compared"),
        (20, "<changelog>: the changelog is missing"),
        (26, "<order-id>: key 'Bell name' should be number 2"),
        (27, "<name>: 'Bell name' cannot be asked for over xPL"),
        (42, "<type>: 'list' is no type of key that is documented"),
        (43, "<list>: should be <options> with an <option> each"),
        (45, "<default-value>: default '0' is none of the options"),
        (47, "<key>: a configuration key without a number"),
        (49, "<type>: 'int' is no type of key that is documented"),
        (52, "<key>: enum 'model' has no options"),
        (59, "<key>: key 'model' is there again; left out"),
        (69, "<file path>: '../outside' is not a path inside the package"),
        (74, "<dependencies>: is there again; all of them are read as one"),
        (84, "<device_type_id>: no device type 'bell.gate' is described"),
        (85, "<parameters>: the parameters are no JSON object"),
        (87, "<stat_key>: feature 'bell.door.rung' has no stat_key"),
        (88, "<return_confirmation>: 'perhaps' is neither yes nor no; taken for no"),
    ],
)
def test_what_is_untidy_is_said_with_file_line_and_element(line: int, warning: str) -> None:
    path = DESCRIPTORS / "old_bell.xml"
    assert f"{path}:{line}: {warning}" in read(path).warnings


def test_dependencies_may_be_written_as_the_rest_of_the_python_world_does(tmp_path: Path) -> None:
    path = _changed(tmp_path, "rainfall.xml", "pyserial (&gt;=2.4)", "pyserial[cp2110]&gt;=2.4")
    assert read(path).warnings == ()
    assert read(path).dependencies[0] == Dependency("python", "pyserial[cp2110]>=2.4")


def test_what_an_old_cache_noted_is_kept(tmp_path: Path) -> None:
    note = '<repository package="http://r/d" priority="500" source="http://r"/></package>'
    path = _changed(tmp_path, "rainfall.xml", "</package>", note)
    assert read(path).repository == Repository("http://r", "http://r/d", 500)


def test_untidiness_is_said_once_each() -> None:
    path = DESCRIPTORS / "old_bell.xml"
    assert len(read(path).warnings) == len(set(read(path).warnings))


def test_an_external_model_is_known_by_vendor_and_device() -> None:
    package = read(DESCRIPTORS / "lamp_rgb.xml")
    assert (package.type, package.vendor, package.device) == ("external", "lamps", "rgb")
    assert package.external_files == ("src/external/externals/lamp_rgb/lamp.ino",)
    assert package.configuration == ()
    assert package.warnings == ()


def test_a_package_of_the_json_time_is_read_completely() -> None:
    path = DESCRIPTORS / "metermon.json"
    package = read(path)
    assert (package.id, package.release, package.technology) == ("metermon", "0.3.a", "meters")
    assert package.dependencies == (Dependency("python", "pyserial (>=2.4)"),)
    assert package.udev_rules[0].rule == 'KERNEL=="ttyUSB*"'
    assert package.feature_models[0].parameters == '{"unit": "W"}'
    assert package.feature_models[0].return_confirmation is False
    assert package.configuration[0].default == "False"


def test_keys_are_numbered_without_a_hole_so_that_clients_do_not_stop_at_it() -> None:
    path = DESCRIPTORS / "metermon.json"
    package = read(path)
    assert [(key.id, key.key) for key in package.configuration] == [
        (0, "startup-plugin"),
        (1, "device"),
    ]
    assert package.configuration[1].optional
    assert package.warnings == (f"{path}: configuration[1].id: key 'device' should be number 1",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('type="plugin"', 'type="gadget"', ":2: <package type>: 'gadget' is neither"),
        ('type="plugin"', "", ":2: <package type>: the type is missing"),
        ("<id>rainfall</id>", "", "the id is missing"),
        ("<id>rainfall</id>", "<id> </id>", ":3: <id>: the id is missing"),
        ("<id>rainfall</id>", "<id>../../x</id>", ":3: <id>: '../../x' must be"),
        ("<id>rainfall</id>", "<id>rainfalls</id>", ":3: <id>: 'rainfalls' must be 1 to 8"),
        ("<version>1.2</version>", "", "the release is missing"),
        ("<version>1.2</version>", "<version>../1</version>", "'../1' cannot be a release"),
        ("<name>pin</name>", "", ":24: <key>: a configuration key without a name"),
        ('id="clock"', "", "<dep>: a dependency without an id"),
        ("</package>", "</pakage>", "not XML: "),
        ("<package", "<!DOCTYPE package [<!ENTITY a 'b'>]>\n<package", "has a DOCTYPE"),
        ("<changelog>", "<changelog>&secret;", "not XML: "),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = _changed(tmp_path, "rainfall.xml", old, new)
    with pytest.raises(BrokenDescriptor) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"json_version": 1', '"json_version": 3', "json_version: '3' is not understood"),
        ('"json_version": 1,', '"json_version": 1', ":3: not JSON: "),
        ('"id": "metermon"', '"id": ["metermon"]', ": identity.id: must be a text"),
        ('"id": "metermon"', '"id": "\\ud800"', ": identity.id: holds half a character"),
        ('"key": "device"', '"key": ""', "configuration[1]: a configuration key without a name"),
        ('"files": [', '"files": "x", "nothing": [', ": files: must be a list"),
        ('"technology": {', '"technology": [], "nothing": {', ": technology: must be an object"),
    ],
)
def test_json_that_cannot_be_understood_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = _changed(tmp_path, "metermon.json", old, new)
    with pytest.raises(BrokenDescriptor) as caught:
        read(path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "warning"),
    [
        ("rainfall.xml", "</version>", "</version><version>2</version>", "the first one counts"),
        ("rainfall.xml", "<id>weather</id>", "<id/>", "<id>: the technology's id is missing"),
        ("rainfall.xml", "<name>startup-plugin</name>", "<name>begin</name>", "'startup-plugin'"),
        ("rainfall.xml", 'type="plugin" id', 'type="perl" id', "'perl' is no type of dependency"),
        ("rainfall.xml", "(&gt;=2.4)", "(&gt;=", "Wrong version format for 'pyserial (>='"),
        ("rainfall.xml", "(&gt;=2.4)", "(&gt;=x)", "Irrational version for dependency pyserial"),
        ("rainfall.xml", ">sensor<", ">nose<", "'nose' is neither sensor nor actuator"),
        ("rainfall.xml", "plugins/rainfall.xml", "plugins/x.xml", "list its own descriptor"),
        ("lamp_rgb.xml", ">Lamps</v", ">Lamps Ltd</v", "cannot be part of an xPL address"),
        ("metermon.json", '"json_version": 1,', "", "json_version is missing; taken for 1"),
    ],
)
def test_what_has_one_sensible_meaning_is_taken_with_a_warning(
    tmp_path: Path, name: str, old: str, new: str, warning: str
) -> None:
    warnings = read(_changed(tmp_path, name, old, new)).warnings
    assert any(warning in sentence for sentence in warnings), warnings


def test_other_xml_is_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "page.xml").write_text("<html/>")
    with pytest.raises(BrokenDescriptor, match=r"page\.xml:1: <html>: is not a descriptor"):
        read(tmp_path / "page.xml")


def test_an_external_model_without_a_vendor_is_refused(tmp_path: Path) -> None:
    path = _changed(tmp_path, "lamp_rgb.xml", "<vendor-id>Lamps</vendor-id>", "")
    with pytest.raises(BrokenDescriptor, match="the vendor is missing"):
        read(path)


def test_no_file_outside_is_read_through_an_entity(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("treasure")
    path = tmp_path / "evil.xml"
    path.write_text(
        f'<!DOCTYPE package [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]>'
        '<package type="plugin"><id>evil</id><version>1</version>'
        "<description>&x;</description></package>"
    )
    with pytest.raises(BrokenDescriptor) as caught:
        read(path)
    assert "treasure" not in str(caught.value)


def test_what_is_no_readable_file_of_fair_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "huge.xml").write_bytes(b" " * (1024 * 1024 + 1))
    (tmp_path / "dangling.xml").symlink_to("nowhere")
    (tmp_path / "directory.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "empty.xml").touch()
    (tmp_path / "deep.json").write_text("[" * 500_000)
    (tmp_path / "digits.json").write_text("9" * 100_000)
    (tmp_path / "latin.json").write_bytes(b'{\n"x": "\xe9"}')
    (tmp_path / "notes.txt").touch()
    for path in tmp_path.iterdir():
        with pytest.raises(BrokenDescriptor, match=path.name):
            read(path)


def test_one_broken_descriptor_hides_no_other(tmp_path: Path) -> None:
    for name in ("rainfall.xml", "old_bell.xml", "lamp_rgb.xml", "metermon.json"):
        shutil.copy(DESCRIPTORS / name, tmp_path)
    (tmp_path / "broken.xml").write_text("<package")
    shutil.copy(DESCRIPTORS / "rainfall.xml", tmp_path / "renamed.xml")
    shutil.copy(DESCRIPTORS / "metermon.json", tmp_path / "rainfall.json")
    (tmp_path / ".rainfall.xml.swp").touch()
    (tmp_path / ".hidden.xml").touch()
    (tmp_path / "README").touch()
    packages, problems = read_directory(tmp_path, "plugin")
    assert [package.id for package in packages] == ["old_bell", "rainfall", "metermon"]
    assert [problem.path.name for problem in problems] == [
        "broken.xml",
        "lamp_rgb.xml",
        "renamed.xml",
        "rainfall.json",
    ]


def test_of_two_forms_for_one_package_the_xml_counts(tmp_path: Path) -> None:
    shutil.copy(DESCRIPTORS / "rainfall.xml", tmp_path)
    value = json.loads((DESCRIPTORS / "metermon.json").read_text())
    value["identity"]["id"] = "rainfall"
    (tmp_path / "rainfall.json").write_text(json.dumps(value))
    packages, problems = read_directory(tmp_path, "plugin")
    assert [package.release for package in packages] == ["1.2"]
    assert "rainfall.xml counts instead" in str(problems[0])


def test_a_missing_directory_has_no_packages(tmp_path: Path) -> None:
    assert read_directory(tmp_path / "none", "plugin") == ((), ())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["identity", "type", "id", "version", "configuration", "key", "files"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_is_a_package_or_a_broken_descriptor(value: object) -> None:
    try:
        validate(parse_json(Path("x.json"), json.dumps(value).encode()))
    except BrokenDescriptor as error:
        assert str(error).startswith("x.json")


@given(st.binary(max_size=200), st.integers(0, 2500))
def test_any_bytes_in_the_middle_of_xml_give_a_package_or_a_broken_descriptor(
    noise: bytes, place: int
) -> None:
    content = (DESCRIPTORS / "rainfall.xml").read_bytes()
    try:
        validate(parse_xml(Path("x.xml"), content[:place] + noise + content[place:]))
    except BrokenDescriptor as error:
        assert str(error).startswith("x.xml")
