"""Which plugins and external models this host has, and where a plugin's script lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from domogik.components.model import ConfigurationKey
from domogik.config.home import Home
from domogik.packages.descriptor.files import Package, read_directory
from domogik.packages.descriptor.package import SCRIPTS
from domogik.packages.descriptor.reference import refusal


@attrs.frozen
class Installed:
    """A package on this host.

    `source` is the tree that goes on PYTHONPATH, `directory` where it runs, `script` the file to
    run; the three are None for a package without a script (an external model, or a plugin whose
    script is nowhere or must not run: then `problem` says why).
    """

    package: Package
    source: Path | None = None
    directory: Path | None = None
    script: Path | None = None
    problem: str = ""


@attrs.frozen
class Inventory:
    """What one look found: id -> package, and a sentence for each descriptor left out."""

    plugins: dict[str, Installed]
    externals: dict[str, Installed]
    problems: tuple[str, ...] = ()
    directories: tuple[Path, ...] = ()

    def declared(self, plugin: str) -> tuple[ConfigurationKey, ...] | None:
        """The configuration keys that a plugin's descriptor declares, None without a descriptor."""
        installed = self.plugins.get(plugin)
        return installed.package.configuration if installed is not None else None


def find_packages(home: Home, package_mode: bool, prefixes: Sequence[Path]) -> Inventory:
    """What there is on this host, in package or in development mode. Reads files."""
    if package_mode:
        found = installed_packages(home.plugins, home.externals, home.store, prefixes)
        return attrs.evolve(found, directories=(home.plugins, home.externals))
    found = developed_packages(prefixes)
    return attrs.evolve(found, directories=watched_directories(prefixes))


def installed_packages(
    plugins: Path, externals: Path, store: Path, prefixes: Sequence[Path]
) -> Inventory:
    """What is installed in package mode: the descriptor is what makes it so. Reads files.

    A descriptor that is a link into the store runs from the release it points to; a plain one,
    put there by hand, has its script in one of `prefixes`.
    """
    sources = list(_sources(prefixes))
    found = _Found()
    for kind, directory in (("plugin", plugins), ("external", externals)):
        for package in found.described(directory, kind):
            release = _release(package.path, store)
            found.add(package, [release / "src"] if release else sources)
    return found.inventory()


def developed_packages(prefixes: Sequence[Path]) -> Inventory:
    """What lies in `src_prefix` in development mode. Reads files."""
    found = _Found()
    for source in _sources(prefixes):
        for kind in ("plugin", "external"):
            for package in found.described(source / "share" / "domogik" / f"{kind}s", kind):
                found.add(package, [source])
    return found.inventory()


@attrs.define
class _Found:
    """What was found until now."""

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
    """The directories whose change may change what `developed_packages` finds. Reads files."""
    found = [prefix for prefix in prefixes if prefix.is_dir()]
    for source in _sources(prefixes):
        share = source / "share" / "domogik"
        found += [path for path in (share / "plugins", share / "externals") if path.is_dir()]
    return tuple(dict.fromkeys(found))


def _sources(prefixes: Iterable[Path]) -> Iterable[Path]:
    """The `src` trees: a prefix itself, or those of the package directories it holds."""
    for prefix in prefixes:
        if (prefix / "share" / "domogik").is_dir():
            yield prefix
            continue
        for entry in sorted(prefix.glob("*/src")):
            if (entry / "share" / "domogik").is_dir():
                yield entry


def _release(path: Path, store: Path) -> Path | None:
    """The directory of the release that a descriptor link points into, None for a plain file."""
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
