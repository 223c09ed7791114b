"""`dmg_pkgmgr` for authors: looking at, making and offering packages, without any manager."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from domogik.cli.pkgmgr.tables import descriptor_text
from domogik.cli.program import FAILED, CommandFailed, home_of
from domogik.cli.terminal import printable

if TYPE_CHECKING:
    from domogik.packages.publish.repository import Built, Signature, Signs

# domogik.packages is imported where it is used: lxml takes longer to import than the rest to run
_ARCHIVES = (".tgz", ".tar.gz")
_DESCRIPTORS = (".xml", ".json")


def is_archive(text: str) -> bool:
    """Whether that is meant to be a file, not the id of a package."""
    return "/" in text or text.endswith(_ARCHIVES)


def is_file(text: str) -> bool:
    """Whether that is meant to be a file or directory to look into."""
    return is_archive(text) or text.endswith(_DESCRIPTORS) or text in (".", "..")


def check(options: argparse.Namespace) -> int:
    """`check FILE...`; 1 where one is refused."""
    from domogik.packages.publish.check import check as look

    found = [look(Path(name)) for name in options.files]
    if options.json:
        _say_json(
            [
                {
                    "path": str(one.path),
                    "package": None if one.ref is None else str(one.ref),
                    "errors": [str(error) for error in one.errors],
                    "warnings": [str(warning) for warning in one.warnings],
                }
                for one in found
            ]
        )
    else:
        for one in found:
            for kind, problems in (("error", one.errors), ("warning", one.warnings)):
                for problem in problems:
                    _say(f"{kind}: {problem}")
            if one.ref is not None:
                _say(f"{one.path}: {one.ref} can be installed")
    return FAILED if any(one.errors for one in found) else 0


def show(path: Path, as_json: bool) -> int:
    """`show FILE`: a descriptor, an archive, or the directory of a package."""
    from domogik.packages.descriptor.files import read
    from domogik.packages.descriptor.writing import json_document
    from domogik.packages.publish.build import find_descriptor
    from domogik.packages.publish.contents import read_contents

    if path.is_dir():
        package = read(find_descriptor(path))
    elif path.suffix in _DESCRIPTORS:
        package = read(path)
    else:
        package = read_contents(path).unpacked.package
    document = json_document(package)
    if as_json:
        _say_json(document)
    else:
        sys.stdout.write(descriptor_text(document))
    return 0


def new(options: argparse.Namespace) -> int:
    """`new NAME`: a package to begin with."""
    from domogik.packages.publish.scaffold import scaffold

    made = scaffold(options.name, Path(options.output))
    if options.json:
        _say_json({"path": str(made)})
    else:
        _say(f"{made} is a package that works; {made / 'README.md'} says how to go on")
    return 0


def create(options: argparse.Namespace) -> int:
    """`create DIR [ID]`: an archive of a package directory, or of one package in it."""
    from domogik.packages.publish.build import create as build

    made = build(Path(options.directory), Path(options.output), id=options.id or "")
    if options.json:
        _say_json({"path": str(made)})
    else:
        _say(str(made))
    return 0


def repository(options: argparse.Namespace) -> int:
    """`repository DIR`: a repository of the archives in it; 1 where one had to be left out."""
    from domogik.packages.publish.repository import build_repository

    directory = Path(options.directory)
    target = Path(options.output) if options.output else directory
    now = datetime.now(UTC)
    signer: Signs | None = None
    if options.sign:
        from domogik.packages.publish.signer import Signer

        signer = Signer(_keys(options, target), now.timestamp)
    elif options.keys:
        raise CommandFailed("--keys says what to sign with: add --sign")
    built = build_repository(
        directory,
        target,
        generated=now.isoformat(" ", "seconds"),
        url=options.address,
        name=options.name,
        signer=signer,
    )
    if options.json:
        _say_json(_built_document(target, built))
    else:
        for problem in built.problems:
            _say(f"left out: {problem}")
        change = "" if built.changed else ", as before"
        count = len(built.packages)
        _say(f"{target} offers {count} release{'' if count == 1 else 's'}{change}")
        if built.signature is not None:
            _say_signed(built.signature)
    return FAILED if built.problems else 0


def _keys(options: argparse.Namespace, target: Path) -> Path:
    """`--keys`, else a directory of the home that belongs to `target` alone."""
    if options.keys:
        return Path(options.keys)
    path = target.resolve()
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    home = home_of(options, os.environ)
    for directory in (home.path, home.data, home.keys):
        # as private as a manager makes them
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home.keys / f"{path.name}-{digest}"


def _built_document(target: Path, built: Built) -> dict[str, object]:
    document: dict[str, object] = {
        "path": str(target),
        "packages": [str(ref) for ref in built.packages],
        "problems": list(built.problems),
        "changed": built.changed,
        "signed": built.signature is not None,
    }
    if built.signature is not None:
        document["expires"] = datetime.fromtimestamp(built.signature.expires, UTC).isoformat()
        document["keys"] = str(built.signature.keys)
        document["root"] = str(built.signature.root)
    return document


def _say_signed(signature: Signature) -> None:
    until = datetime.fromtimestamp(signature.expires, UTC).date()
    _say(f"signed until {until}, with the keys in {signature.keys}; sign again before that")
    if signature.made:
        _say(
            "These keys are new. Keep them secret and keep a copy: without them nothing can be"
            " published that those who trust this repository will take."
        )
        _say(f"Whoever adds signed=FILE to its line needs this file: {signature.root}")


def _say(text: str) -> None:
    sys.stdout.write(f"{printable(text)}\n")


def _say_json(document: object) -> None:
    sys.stdout.write(f"{json.dumps(document)}\n")
