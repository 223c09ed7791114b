"""Descriptors in XML: `<package type="plugin|external">`.

Single texts are direct children of the root; nested elements of the same name, such as the `<id>`
of a device type, are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lxml import etree

from domogik.packages.descriptor.draft import (
    REPOSITORY,
    BrokenDescriptor,
    Draft,
    DraftKey,
    DraftRecord,
    FoundText,
)

#: element -> field of the package
_TEXTS = {
    "id": "id",
    "technology": "category",
    "description": "description",
    "changelog": "changelog",
    "version": "release",
    "documentation": "documentation",
    "author": "author",
    "author-email": "author_email",
    "vendor-id": "vendor",
    "device-id": "device",
    "domogik-min-version": "min_version",
    "generated": "generated",
}
_TECHNOLOGY = {
    "id": "technology",
    "name": "technology_name",
    "description": "technology_description",
}


def parse_xml(path: Path, content: bytes) -> Draft:
    """Parse the file; raises `BrokenDescriptor`."""
    root = _root(path, content)
    draft = Draft(path)
    draft.texts["type"] = _attribute(root, "type")
    _take(draft, root, _TEXTS)
    for technology in _sections(draft, root, "device_technology"):
        _take(draft, technology, _TECHNOLOGY)
    for repository in _sections(draft, root, "repository"):
        for name, field in REPOSITORY.items():
            if repository.get(name) is not None:
                draft.texts.setdefault(field, _attribute(repository, name))
    draft.files += [_attribute(file, "path") for file in _entries(draft, root, "files", "file")]
    draft.external_files += [
        _attribute(file, "path") for file in _entries(draft, root, "external_files", "file")
    ]
    draft.keys += [_key(draft, key) for key in _entries(draft, root, "configuration-keys", "key")]
    for section, name, records, read in (
        ("dependencies", "dep", draft.dependencies, _attributes),
        ("udev-rules", "rule", draft.udev_rules, _rule),
        ("device_types", "device_type", draft.device_types, _children),
        ("device_feature_models", "device_feature_model", draft.feature_models, _children),
    ):
        records += [
            DraftRecord(_at(entry), read(entry)) for entry in _entries(draft, root, section, name)
        ]
    return draft


def _root(path: Path, content: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        line = error.lineno or 0
        raise BrokenDescriptor(path, f"not XML: {error.msg}", line=line) from error
    document: Any = root.getroottree().docinfo
    if document.doctype:
        # Entities are what a DOCTYPE would bring, and no descriptor needs them.
        raise BrokenDescriptor(path, "has a DOCTYPE, which no descriptor needs", line=1)
    if root.tag != "package":
        raise BrokenDescriptor(
            path, "is not a descriptor: those begin with <package>", f"<{root.tag}>", _line(root)
        )
    return root


def _take(draft: Draft, parent: etree._Element, fields: Mapping[str, str]) -> None:
    for element in parent.iterchildren():
        field = fields.get(element.tag)
        if field is None:
            continue
        found = _text(element)
        if field in draft.texts:
            draft.warn("is there again; the first one counts", found)
        else:
            draft.texts[field] = found


def _sections(draft: Draft, root: etree._Element, name: str) -> Iterator[etree._Element]:
    """Yield the sections of that name; several are read as one, with a warning."""
    for number, element in enumerate(root.iterchildren(name)):
        if number:
            draft.warn("is there again; all of them are read as one", _text(element))
        yield element


def _entries(
    draft: Draft, root: etree._Element, section: str, name: str
) -> Iterator[etree._Element]:
    """Yield the elements `name` of the sections `section`; others cause a warning."""
    for parent in _sections(draft, root, section):
        for element in parent.iterchildren():
            if element.tag == name:
                yield element
            else:
                draft.warn(f"is ignored: what counts here is <{name}>", _text(element))


def _key(draft: Draft, element: etree._Element) -> DraftKey:
    children = _children(element)
    options = [_text(one) for options in element.iterchildren("options") for one in options]
    for items in element.iterchildren("list"):
        draft.warn("should be <options> with an <option> each", _text(items))
        options += [_text(item) for item in items]
    return DraftKey(
        at=_at(element),
        order=children.get("order-id"),
        key=children.get("name"),
        type=children.get("type"),
        description=children.get("description"),
        default=children.get("default-value"),
        options=options,
        interface=children.get("interface"),
        optional=children.get("optionnal", children.get("optional")),
    )


def _children(element: etree._Element) -> dict[str, FoundText]:
    found: dict[str, FoundText] = {}
    for child in element:
        found.setdefault(str(child.tag), _text(child))
    return found


def _attributes(element: etree._Element) -> dict[str, FoundText]:
    return {str(name): _attribute(element, str(name)) for name in element.attrib}


def _rule(element: etree._Element) -> dict[str, FoundText]:
    return {**_attributes(element), "rule": _text(element)}


def _text(element: etree._Element) -> FoundText:
    # nearly every element holds a text and nothing else: there are fifty in a descriptor, and a
    # repository has a thousand of those
    text = "".join(str(part) for part in element.itertext()) if len(element) else element.text
    return FoundText((text or "").strip(), f"<{element.tag}>", _line(element))


def _attribute(element: etree._Element, name: str) -> FoundText:
    value = str(element.get(name) or "").strip()
    return FoundText(value, f"<{element.tag} {name}>", _line(element))


def _at(element: etree._Element) -> FoundText:
    return FoundText("", f"<{element.tag}>", _line(element))


def _line(element: etree._Element) -> int:
    line: object = element.sourceline
    return line if isinstance(line, int) else 0
