"""The plugins and external models on this host, and their scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from domogik.components.model import ConfigurationKey
from domogik.config.home import Home
from domogik.packages.descriptor.files import read_directory
from domogik.packages.descriptor.package import SCRIPTS, Package
from domogik.packages.descriptor.reference import refusal


@attrs.frozen
class Installed:
    """A package on this host.

    `source` is the tree for PYTHONPATH, `directory` the working directory, `script` the file to
    run; the three are None for an external model, or for a plugin whose script is missing or not
    allowed: then `problem` says why.
    """

    package: Package
    source: Path | None = None
    directory: Path | None = None
    script: Path | None = None
    problem: str = ""


@attrs.frozen
class Inventory:
    """The packages by id, and a sentence for each descriptor left out."""

    plugins: dict[str, Installed]
    externals: dict[str, Installed]
    problems: tuple[str, ...] = ()
    directories: tuple[Path, ...] = ()

    def declared(self, plugin: str) -> tuple[ConfigurationKey, ...] | None:
        """Return the configuration keys of a plugin, None if it is unknown."""
        installed = self.plugins.get(plugin)
        return installed.package.configuration if installed is not None else None


def find_packages(home: Home, package_mode: bool, prefixes: Sequence[Path]) -> Inventory:
    """Return the packages of this host, in package or development mode. Blocks."""
    if package_mode:
        found = installed_packages(home.plugins, home.externals, home.store, prefixes)
        return attrs.evolve(found, directories=(home.plugins, home.externals))
    found = developed_packages(prefixes)
    return attrs.evolve(found, directories=watched_directories(prefixes))


def installed_packages(
    plugins: Path, externals: Path, store: Path, prefixes: Sequence[Path]
) -> Inventory:
    """Return the packages in package mode, which have a descriptor there. Blocks.

    A descriptor that is a link into the store runs from that release; for a plain file the script
    is searched in `prefixes`.
    """
    sources = list(_sources(prefixes))
    found = _Found()
    for kind, directory in (("plugin", plugins), ("external", externals)):
        for package in found.described(directory, kind):
            release = _release(package.path, store)
            found.add(package, [release / "src"] if release else sources)
    return found.inventory()


def developed_packages(prefixes: Sequence[Path]) -> Inventory:
    """Return the packages in `src_prefix` in development mode. Blocks."""
    found = _Found()
    for source in _sources(prefixes):
        for kind in ("plugin", "external"):
            for package in found.described(source / "share" / "domogik" / f"{kind}s", kind):
                found.add(package, [source])
    return found.inventory()


@attrs.define
class _Found:
    """The packages found so far."""

    plugins: dict[str, Installed] = attrs.field(factory=dict)
    externals: dict[str, Installed] = attrs.field(factory=dict)
    problems: list[str] = attrs.field(factory=list)

    def described(self, directory: Path, kind: str) -> tuple[Package, ...]:
        packages, problems = read_directory(directory, kind)
        self.problems += [str(problem) for problem in problems]
        return packages

    def add(self, package: Package, sources: Sequence[Path]) -> None:
        kind = self.plugins if package.type == "plugin" else self.externals
        earlier = kind.get(package.id)
        if earlier is not None:
            self.problems.append(
                f"{package.path}: {package.type} {package.id} is left out: "
                f"{earlier.package.path} describes it"
            )
            return
        is_plugin = package.type == "plugin"
        if not is_plugin and refusal(package.id):
            self.problems.append(f"{package.path}: {refusal(package.id)}")
        kind[package.id] = _with_script(package, sources) if is_plugin else Installed(package)

    def inventory(self) -> Inventory:
        return Inventory(self.plugins, self.externals, tuple(self.problems))


def watched_directories(prefixes: Sequence[Path]) -> tuple[Path, ...]:
    """Return the directories whose changes may affect `developed_packages`. Blocks."""
    found = [prefix for prefix in prefixes if prefix.is_dir()]
    for source in _sources(prefixes):
        share = source / "share" / "domogik"
        found += [path for path in (share / "plugins", share / "externals") if path.is_dir()]
    return tuple(dict.fromkeys(found))


def _sources(prefixes: Iterable[Path]) -> Iterable[Path]:
    """Yield the `src` trees: a prefix itself, or those of the package directories in it."""
    for prefix in prefixes:
        if (prefix / "share" / "domogik").is_dir():
            yield prefix
            continue
        for entry in sorted(prefix.glob("*/src")):
            if (entry / "share" / "domogik").is_dir():
                yield entry


def _release(path: Path, store: Path) -> Path | None:
    """Return the directory of the release that a descriptor links to, None for a plain file."""
    try:
        parts = path.resolve(strict=True).relative_to(store.resolve()).parts
    except (OSError, ValueError):
        return None
    return store.joinpath(*parts[:2]) if len(parts) > 2 else None


def _with_script(package: Package, sources: Sequence[Path]) -> Installed:
    if refusal(package.id):
        return Installed(package, problem=refusal(package.id))
    for source in sources:
        for pattern in SCRIPTS:
            script = source / pattern.removeprefix("src/").format(id=package.id)
            if script.is_file():
                directory = source.parent if source.name == "src" else source
                return Installed(package, source, directory, script)
    places = " or ".join(str(source) for source in sources) or "src_prefix, which names nothing"
    return Installed(package, problem=f"its script {package.id}.py is nowhere in {places}")
