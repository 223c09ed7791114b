"""The values of a descriptor."""

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
    """Return the path where the plugin's script is missing, or an empty text."""
    scripts = [script.format(id=id) for script in SCRIPTS]
    return "" if type != "plugin" or any(map(is_there, scripts)) else scripts[0]


@attrs.frozen
class Dependency:
    """A dependency: `type` is python, plugin or other, `id` as it was written."""

    type: str
    id: str


@attrs.frozen
class UdevRule:
    """A rule that the user may install, so that the plugin finds its device."""

    model: str
    description: str
    filename: str
    rule: str


@attrs.frozen
class DeviceType:
    """A kind of device that the package supports."""

    id: str
    name: str
    description: str


@attrs.frozen
class FeatureModel:
    """A feature of a kind of device: a measurement (`sensor`) or an action (`actuator`).

    `parameters` is the text of a JSON object; `stat_key` is empty if nothing is recorded.
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
    """The origin of a cached descriptor: the repository, its priority, the archive's URL."""

    source: str
    url: str = ""
    priority: int | None = None


@attrs.frozen
class Package:
    """A package as its descriptor describes it.

    `type` is plugin or external. `release` is safe as the name of a directory. `technology` is the
    id of the technology. `vendor` and `device` are the xPL names of an external member, empty for a
    plugin. `configuration` is in the order of its ids, which count from 0 without a gap. `files`
    and `external_files` are paths as written, not validated. `path` is the file that was read.
    `repository` is what the cache of an older Domogik added. `warnings` are sentences, with file
    and position, about defects that did not prevent reading.
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
        """The name `<type>-<id>`."""
        return f"{self.type}-{self.id}"
