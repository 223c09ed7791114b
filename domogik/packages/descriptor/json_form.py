"""Descriptors in JSON: format 1 is of Domogik 0.2 and 0.3, format 2 of later ones.

Of format 2 only what it shares with format 1 is read, not devices, sensors and commands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import attrs

from domogik.packages.descriptor.draft import (
    REPOSITORY,
    BrokenDescriptor,
    Draft,
    DraftKey,
    DraftRecord,
    FoundText,
)

#: name in `identity` -> field of the package
_IDENTITY = {
    "type": "type",
    "id": "id",
    "version": "release",
    "category": "category",
    "domogik_min_version": "min_version",
    "documentation": "documentation",
    "description": "description",
    "author": "author",
    "author_email": "author_email",
    "changelog": "changelog",
    "generated": "generated",
}
_TECHNOLOGY = {
    "id": "technology",
    "name": "technology_name",
    "description": "technology_description",
}
_EXTERNAL = {"vendor_id": "vendor", "device_id": "device"}
_SECTIONS = (
    ("technology", _TECHNOLOGY),
    ("external", _EXTERNAL),
    ("repository", REPOSITORY),
)
_FIRST, _SECOND = "1", "2"
#: number 2 names the package by its name, and has no technology
_IDENTITY_OF_SECOND = {**_IDENTITY, "name": "id", "category": "technology"}


@attrs.frozen
class _Node:
    """A value of the file and its path, such as `configuration[2].key`."""

    draft: Draft
    value: object
    way: str

    @property
    def at(self) -> FoundText:
        return FoundText("", self.way)

    def child(self, name: str) -> _Node:
        """Return the member of that name; its value is None if there is none."""
        value = self.value
        if not isinstance(value, dict):
            raise self.draft.broken("must be an object", self.at)
        return _Node(self.draft, value.get(name), f"{self.way}.{name}" if self.way else name)

    def items(self) -> Iterator[_Node]:
        """Yield the members of a list; none if the value is None."""
        if self.value is None:
            return
        if not isinstance(self.value, list):
            raise self.draft.broken("must be a list", self.at)
        for number, value in enumerate(self.value):
            yield _Node(self.draft, value, f"{self.way}[{number}]")

    def found(self) -> FoundText | None:
        """Return the text, or None; numbers and booleans count as texts."""
        match self.value:
            case None:
                return None
            case bool() | int() | float():
                text = str(self.value)
            case str():
                text = self.value.strip()
            case _:
                raise self.draft.broken("must be a text", self.at)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.draft.broken("holds half a character", self.at) from None
        return FoundText(text, self.way)

    def texts(self) -> list[FoundText]:
        """Return the texts of a list."""
        return [found for item in self.items() if (found := item.found()) is not None]

    def record(self) -> DraftRecord:
        """Return the texts of an object; a nested object is converted to JSON."""
        if not isinstance(self.value, dict):
            raise self.draft.broken("must be an object", self.at)
        texts = {}
        for name in self.value:
            node = self.child(name)
            if isinstance(node.value, dict | list):
                node = attrs.evolve(node, value=json.dumps(node.value))
            found = node.found()
            if found is not None:
                texts[str(name)] = found
        return DraftRecord(self.at, texts)


def parse_json(path: Path, content: bytes) -> Draft:
    """Parse the file; raises `BrokenDescriptor`."""
    draft = Draft(path)
    root = _Node(draft, _value(path, content), "")
    version = root.child("json_version").found()
    if version is None:
        draft.warn("json_version is missing; taken for 1")
    elif version.text == _SECOND:
        return _second(draft, root, version)
    elif version.text != _FIRST:
        raise draft.broken(f"'{version.text}' is not understood, only 1 and 2 are", version)
    identity = root.child("identity")
    _take(draft, identity, _IDENTITY)
    for name, fields in _SECTIONS:
        if root.child(name).value is not None:
            _take(draft, root.child(name), fields)
    draft.keys = [_key(node) for node in root.child("configuration").items()]
    draft.files = root.child("files").texts()
    draft.external_files = root.child("external_files").texts()
    draft.dependencies = [node.record() for node in identity.child("dependencies").items()]
    draft.udev_rules = [node.record() for node in root.child("udev-rules").items()]
    draft.device_types = [node.record() for node in root.child("device_types").items()]
    draft.feature_models = [node.record() for node in root.child("device_feature_models").items()]
    return draft


def _second(draft: Draft, root: _Node, version: FoundText) -> Draft:
    draft.warn(
        "a package of Domogik 0.4 or later: its plugin needs that version's message queue, which "
        "is not here, and has to be ported (docs/guide/old-plugins.md)",
        version,
    )
    identity = root.child("identity")
    _take(draft, identity, _IDENTITY_OF_SECOND)
    nodes = root.child("configuration").items()
    draft.keys = [_key_of_second(node, number) for number, node in enumerate(nodes)]
    draft.dependencies = [node.record() for node in identity.child("dependencies").items()]
    draft.udev_rules = [node.record() for node in root.child("udev_rules").items()]
    return draft


def _key_of_second(node: _Node, number: int) -> DraftKey:
    key = _key(node)
    key.order = FoundText(str(number), node.way)
    key.optional = FoundText("no" if node.child("required").value else "yes", node.way)
    key.interface = FoundText("no", node.way)
    return key


def _value(path: Path, content: bytes) -> object:
    try:
        value: object = json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise BrokenDescriptor(path, f"not JSON: {error.msg}", line=error.lineno) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BrokenDescriptor(path, "not UTF-8", line=line) from error
    except (RecursionError, ValueError) as error:
        # nested too deep, or a number of thousands of digits
        raise BrokenDescriptor(path, f"not JSON that can be read: {error}") from error
    return value


def _take(draft: Draft, node: _Node, fields: dict[str, str]) -> None:
    for name, field in fields.items():
        found = node.child(name).found()
        if found is not None:
            draft.texts[field] = found


def _key(node: _Node) -> DraftKey:
    optional = node.child("optionnal").found()
    return DraftKey(
        at=node.at,
        order=node.child("id").found(),
        key=node.child("key").found(),
        type=node.child("type").found(),
        description=node.child("description").found(),
        default=node.child("default").found(),
        options=node.child("options").texts(),
        interface=node.child("interface").found(),
        optional=optional if optional is not None else node.child("optional").found(),
    )
