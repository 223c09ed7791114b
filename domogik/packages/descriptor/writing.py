"""Writes packages as descriptors in the XML and JSON forms, such that reading gives equal ones.

Element and member names are those of Domogik 0.2 (XML) and 0.3 (JSON), spelling included; the order
of the elements suits Domogik's own reader, which takes the first element of a name anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs
from lxml import etree

from domogik.components.model import ConfigurationKey
from domogik.errors import DomogikError
from domogik.packages.descriptor.package import Package, Repository

JSON_VERSION = 1


class CannotWrite(DomogikError):
    """A text of the package has characters that the form cannot represent."""


def to_xml(package: Package) -> bytes:
    """Return the package as an XML descriptor; raises `CannotWrite`.

    `read` returns an equal package, except for `path` and `warnings`.
    """
    root = etree.Element("package", type=package.type)
    try:
        _texts(root, _head(package))
        _keys(root, package.configuration)
        _files(root, "files", package.files)
        if package.external_files:
            _files(root, "external_files", package.external_files)
        _tail(root, package)
    except ValueError as error:
        raise CannotWrite(
            f"{package.full_name} cannot be written as XML: one of its texts has a control "
            "character or half a character"
        ) from error
    text: bytes = etree.tostring(root, pretty_print=True, xml_declaration=True, encoding="UTF-8")
    return text


def to_json(package: Package) -> bytes:
    """Return the package as JSON; `read` returns an equal one, except `path` and `warnings`."""
    return (json.dumps(json_document(package), indent=2, ensure_ascii=False) + "\n").encode()


def json_document(package: Package) -> dict[str, object]:
    """Return the JSON descriptor as lists, dicts, texts and numbers."""
    document: dict[str, object] = {
        "json_version": JSON_VERSION,
        "identity": _identity(package),
        "files": list(package.files),
        "external_files": list(package.external_files),
        "technology": {
            "id": package.technology,
            "name": package.technology_name,
            "description": package.technology_description,
        },
        "device_types": [attrs.asdict(one) for one in package.device_types],
        "device_feature_models": [attrs.asdict(one) for one in package.feature_models],
        "configuration": [_key(one) for one in package.configuration],
        "udev-rules": [attrs.asdict(one) for one in package.udev_rules],
    }
    if package.repository is not None:
        document["repository"] = _repository(package.repository)
    if package.vendor or package.device:
        document["external"] = {"vendor_id": package.vendor, "device_id": package.device}
    return document


def write(package: Package, path: Path) -> bytes:
    """Return the package in the form for the file name: JSON for `*.json`, else XML."""
    return to_json(package) if path.suffix == ".json" else to_xml(package)


def _head(package: Package) -> dict[str, str]:
    head = {
        "id": package.id,
        "technology": package.technology,
        "description": package.description,
        "version": package.release,
        "changelog": package.changelog,
        "documentation": package.documentation,
        "author": package.author,
        "author-email": package.author_email,
        "domogik-min-version": package.min_version,
    }
    extra = {
        "generated": package.generated,
        "vendor-id": package.vendor,
        "device-id": package.device,
    }
    return head | {name: text for name, text in extra.items() if text}


def _tail(root: etree._Element, package: Package) -> None:
    dependencies = etree.SubElement(root, "dependencies")
    for one in package.dependencies:
        etree.SubElement(dependencies, "dep", type=one.type, id=one.id)
    rules = etree.SubElement(root, "udev-rules")
    for rule in package.udev_rules:
        names = attrs.asdict(rule)
        text = names.pop("rule")
        etree.SubElement(rules, "rule", names).text = text
    _record(
        root,
        "device_technology",
        {
            "id": package.technology,
            "name": package.technology_name,
            "description": package.technology_description,
        },
    )
    types = etree.SubElement(root, "device_types")
    for kind in package.device_types:
        _record(types, "device_type", attrs.asdict(kind))
    models = etree.SubElement(root, "device_feature_models")
    for model in package.feature_models:
        feature = attrs.asdict(model) | {"return_confirmation": "01"[model.return_confirmation]}
        _record(models, "device_feature_model", {key: str(text) for key, text in feature.items()})
    if package.repository is not None:
        etree.SubElement(root, "repository", _repository(package.repository))


def _keys(root: etree._Element, keys: Iterable[ConfigurationKey]) -> None:
    section = etree.SubElement(root, "configuration-keys")
    for key in keys:
        element = etree.SubElement(section, "key")
        texts = {
            "order-id": str(key.id),
            "name": key.key,
            "type": key.type,
            "description": key.description,
            "default-value": key.default or "",
            "interface": _yes(key.interface),
            "optionnal": _yes(key.optional),
        }
        _texts(element, texts)
        if key.options:
            options = etree.SubElement(element, "options")
            for option in key.options:
                etree.SubElement(options, "option").text = option


def _files(root: etree._Element, name: str, paths: Iterable[str]) -> None:
    section = etree.SubElement(root, name)
    for path in paths:
        etree.SubElement(section, "file", path=path)


def _record(parent: etree._Element, name: str, texts: Mapping[str, str]) -> None:
    _texts(etree.SubElement(parent, name), texts)


def _texts(parent: etree._Element, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        etree.SubElement(parent, name).text = text


def _repository(repository: Repository) -> dict[str, str]:
    priority = "" if repository.priority is None else str(repository.priority)
    return {"package": repository.url, "priority": priority, "source": repository.source}


def _identity(package: Package) -> dict[str, object]:
    identity: dict[str, object] = {
        "type": package.type,
        "id": package.id,
        "category": package.technology,
        "version": package.release,
        "domogik_min_version": package.min_version,
        "documentation": package.documentation,
        "description": package.description,
        "author": package.author,
        "author_email": package.author_email,
        "changelog": package.changelog,
        "dependencies": [{"id": one.id, "type": one.type} for one in package.dependencies],
    }
    return identity | ({"generated": package.generated} if package.generated else {})


def _key(key: ConfigurationKey) -> dict[str, object]:
    return {
        "id": str(key.id),
        "interface": _yes(key.interface),
        "key": key.key,
        "type": key.type,
        "options": list(key.options),
        "default": key.default,
        "description": key.description,
        "optionnal": _yes(key.optional),
    }


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"
