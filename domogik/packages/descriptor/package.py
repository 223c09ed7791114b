"""What a package is: the values that a descriptor gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from domogik.components.model import ConfigurationKey

#: the directory in which a package may bring wheels of what it depends on
WHEELS = "wheels"
#: where a plugin's script is in its package, newest layout first
SCRIPTS = ("src/domogik_packages/xpl/bin/{id}.py", "src/domogik/xpl/bin/{id}.py")

#: what the file of an icon begins with (PNG specification, section 5.2)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def missing_script(type: str, id: str, is_there: Callable[[str], bool]) -> str:
    """Return where the script of a plugin's package should be; nothing where all is well."""
    scripts = [script.format(id=id) for script in SCRIPTS]
    return "" if type != "plugin" or any(map(is_there, scripts)) else scripts[0]


@attrs.frozen
class Dependency:
    """Something the package needs: `type` is python, plugin or other, `id` as it was written."""

    type: str
    id: str


@attrs.frozen
class UdevRule:
    """A rule that a person may install, so that the plugin finds its device."""

    model: str
    description: str
    filename: str
    rule: str


@attrs.frozen
class DeviceType:
    """A kind of device that the package knows."""

    id: str
    name: str
    description: str


@attrs.frozen
class FeatureModel:
    """Something that a kind of device measures (`sensor`) or does (`actuator`).

    `parameters` is the text of a JSON object; `stat_key` is empty where nothing is recorded.
    """

    id: str
    name: str
    feature_type: str
    device_type_id: str
    value_type: str
    return_confirmation: bool
    parameters: str
    stat_key: str


@attrs.frozen
class Repository:
    """Where a cached descriptor came from: the repository, its priority there, the archive."""

    source: str
    url: str = ""
    priority: int | None = None


@attrs.frozen
class Package:
    """A package as its descriptor describes it.

    `type` is plugin or external. `release` is safe as the name of a directory. `technology` is the
    id of the technology. `vendor` and `device` are the xPL names of an external member, empty for
    a plugin. `configuration` is in the order of its ids, which count from 0 without a hole.
    `files` and `external_files` are paths as they were written, which nobody has judged. `path` is
    the file that was read. `repository` is what the cache of an older Domogik noted in it.
    `warnings` are sentences, each with file and place, about what is not as it should be and was
    understood all the same.
    """

    type: str
    id: str
    release: str
    technology: str
    description: str
    documentation: str
    author: str
    author_email: str
    changelog: str
    min_version: str
    path: Path
    configuration: tuple[ConfigurationKey, ...] = ()
    vendor: str = ""
    device: str = ""
    technology_name: str = ""
    technology_description: str = ""
    generated: str = ""
    files: tuple[str, ...] = ()
    external_files: tuple[str, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    udev_rules: tuple[UdevRule, ...] = ()
    device_types: tuple[DeviceType, ...] = ()
    feature_models: tuple[FeatureModel, ...] = ()
    repository: Repository | None = None
    warnings: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """`<type>-<id>`"""
        return f"{self.type}-{self.id}"
