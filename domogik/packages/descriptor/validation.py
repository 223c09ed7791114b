"""Validates a draft, and returns it as a package with warnings."""

from __future__ import annotations

import json
import re

import attrs
from packaging.version import InvalidVersion, Version

from domogik.components.model import STARTUP_KEY, ConfigurationKey
from domogik.packages.descriptor.draft import REPOSITORY, Draft, DraftKey, DraftRecord, FoundText
from domogik.packages.descriptor.package import (
    Dependency,
    DeviceType,
    FeatureModel,
    Package,
    Repository,
    UdevRule,
)
from domogik.packages.descriptor.reference import ID, RELEASE
from domogik.packages.descriptor.requirements import BadRequirement, parse_requirement

PLUGIN, EXTERNAL = "plugin", "external"

_XPL_DEVICE = re.compile(r"[a-z0-9]{1,8}")
_XPL_NAME = re.compile(r"[a-z0-9-]{1,16}")
_PRIORITY = re.compile(r"-?[0-9]{1,9}")
_KEY_TYPES = frozenset({"string", "number", "boolean", "enum", "password"})
_DEPENDENCY_TYPES = frozenset({"python", "plugin", "other"})
_FEATURE_TYPES = frozenset({"sensor", "actuator"})
_DEFAULT_MIN_VERSION = "0.1.0"
_YES = frozenset({"yes", "true", "1"})
_NO = frozenset({"no", "false", "0", ""})
#: fields that a person misses when they are empty
_EXPECTED = ("description", "changelog", "documentation", "author", "author_email")


def validate(draft: Draft) -> Package:
    """Return the package that the draft describes; raises `BrokenDescriptor`."""
    kind = _required(draft, "type")
    if kind.text not in (PLUGIN, EXTERNAL):
        raise draft.broken(f"'{kind.text}' is neither {PLUGIN} nor {EXTERNAL}", kind)
    name = _required(draft, "id")
    if not ID.fullmatch(name.text):
        raise draft.broken(f"'{name.text}' must be 1 to 8 of a-z, 0-9 and '_'", name)
    for field in _EXPECTED:
        if not draft.text(field):
            draft.warn(f"the {field.replace('_', '-')} is missing", draft.texts.get(field))
    vendor, device = _member(draft) if kind.text == EXTERNAL else ("", "")
    release = _release(draft)
    device_types = tuple(DeviceType(**_texts(one, DeviceType)) for one in draft.device_types)
    known_types = frozenset(known.id for known in device_types)
    features = tuple(_feature(draft, record, known_types) for record in draft.feature_models)
    _check_files(draft, kind.text, name.text)
    return Package(
        type=kind.text,
        id=name.text,
        release=release,
        technology=_technology(draft),
        description=draft.text("description"),
        documentation=draft.text("documentation"),
        author=draft.text("author"),
        author_email=draft.text("author_email"),
        changelog=draft.text("changelog"),
        min_version=draft.text("min_version") or _DEFAULT_MIN_VERSION,
        path=draft.path,
        configuration=_configuration(draft, kind.text),
        vendor=vendor,
        device=device,
        technology_name=draft.text("technology_name"),
        technology_description=draft.text("technology_description"),
        generated=draft.text("generated"),
        files=tuple(found.text for found in draft.files),
        external_files=tuple(found.text for found in draft.external_files),
        dependencies=tuple(_dependency(draft, record) for record in draft.dependencies),
        udev_rules=tuple(UdevRule(**_texts(one, UdevRule)) for one in draft.udev_rules),
        device_types=device_types,
        feature_models=features,
        repository=_repository(draft),
        warnings=tuple(str(problem) for problem in draft.warnings),
    )


def _required(draft: Draft, field: str) -> FoundText:
    found = draft.texts.get(field)
    if found is None or not found.text:
        raise draft.broken(f"the {field} is missing", found)
    return found


def _release(draft: Draft) -> str:
    found = _required(draft, "release")
    if not RELEASE.fullmatch(found.text):
        raise draft.broken(f"'{found.text}' cannot be a release", found)
    for field in ("release", "min_version"):
        text = draft.text(field)
        try:
            Version(text or _DEFAULT_MIN_VERSION)
        except InvalidVersion:
            draft.warn(f"'{text}' is no version that can be compared", draft.texts[field])
    return found.text


def _technology(draft: Draft) -> str:
    technology, category = draft.text("technology"), draft.text("category")
    if not technology:
        draft.warn("the technology's id is missing", draft.texts.get("technology"))
    elif category and category != technology:
        draft.warn(
            f"'{category}' differs from the technology's id '{technology}', which counts",
            draft.texts["category"],
        )
    return technology or category


def _member(draft: Draft) -> tuple[str, str]:
    """Return vendor and device of an external member, as in its heartbeats."""
    vendor, device = _required(draft, "vendor"), _required(draft, "device")
    for found in (vendor, device):
        if not _XPL_DEVICE.fullmatch(found.text.lower()):
            draft.warn(f"'{found.text}' cannot be part of an xPL address", found)
    return vendor.text.lower(), device.text.lower()


def _repository(draft: Draft) -> Repository | None:
    texts = [draft.text(field) for field in REPOSITORY.values()]
    if not any(texts):
        return None
    source, url, priority = texts
    if _PRIORITY.fullmatch(priority):
        return Repository(source, url, int(priority))
    if priority:
        draft.warn(f"'{priority}' is no number", draft.texts["repository_priority"])
    return Repository(source, url)


def _check_files(draft: Draft, kind: str, name: str) -> None:
    for found in (*draft.files, *draft.external_files):
        if not found.text or found.text.startswith("/") or ".." in found.text.split("/"):
            draft.warn(f"'{found.text}' is not a path inside the package", found)
    own = f"share/domogik/{kind}s/{name}."
    if draft.files and not any(own in found.text for found in draft.files):
        draft.warn("the package does not list its own descriptor among its files")


def _configuration(draft: Draft, kind: str) -> tuple[ConfigurationKey, ...]:
    """Return the keys in their order, renumbered, since a gap ends the list for some clients."""
    ordered = sorted(draft.keys, key=lambda key: _order(draft, key))
    keys: list[ConfigurationKey] = []
    names: set[str] = set()
    for written in ordered:
        if written.key is None or not written.key.text:
            raise draft.broken("a configuration key without a name", written.at)
        if written.key.text in names:
            draft.warn(f"key '{written.key.text}' is there again; left out", written.at)
            continue
        if written.order is not None and written.order.text != str(len(keys)):
            draft.warn(f"key '{written.key.text}' should be number {len(keys)}", written.order)
        names.add(written.key.text)
        keys.append(_key(draft, written, written.key, len(keys)))
    if kind == PLUGIN and (not keys or keys[0].key != STARTUP_KEY):
        draft.warn(f"the first configuration key should be '{STARTUP_KEY}'")
    return tuple(keys)


def _order(draft: Draft, key: DraftKey) -> int:
    """Return the position of a key; those without a number come last."""
    text = key.order.text if key.order is not None else ""
    if re.fullmatch(r"[0-9]{1,6}", text, re.ASCII):
        return int(text)
    draft.warn("a configuration key without a number", key.order or key.at)
    return 10**6


def _key(draft: Draft, written: DraftKey, name: FoundText, number: int) -> ConfigurationKey:
    if not _XPL_NAME.fullmatch(name.text):
        draft.warn(f"'{name.text}' cannot be asked for over xPL", name)
    kind = written.type.text if written.type is not None else ""
    if kind not in _KEY_TYPES:
        draft.warn(f"'{kind}' is no type of key that is documented", written.type or written.at)
    options = tuple(option.text for option in written.options)
    default = written.default.text if written.default is not None else ""
    if kind == "enum" and not options:
        draft.warn(f"enum '{name.text}' has no options", written.at)
    elif options and default not in options:
        draft.warn(f"default '{default}' is none of the options", written.default or written.at)
    return ConfigurationKey(
        id=number,
        key=name.text,
        type=kind or "string",
        description=written.description.text if written.description is not None else "",
        default=default or None,
        options=options,
        interface=_truth(draft, written.interface),
        optional=_truth(draft, written.optional),
    )


def _truth(draft: Draft, found: FoundText | None) -> bool:
    word = found.text.lower() if found is not None else ""
    if word not in _YES | _NO:
        draft.warn(f"'{word}' is neither yes nor no; taken for no", found)
    return word in _YES


def _dependency(draft: Draft, record: DraftRecord) -> Dependency:
    kind, name = record.text("type"), record.text("id")
    if not name:
        raise draft.broken("a dependency without an id", record.at)
    if kind not in _DEPENDENCY_TYPES:
        draft.warn(f"'{kind}' is no type of dependency that is known", record.place("type"))
    try:
        parse_requirement(name, kind)
    except BadRequirement as error:
        draft.warn(str(error), record.place("id"))
    return Dependency(kind, name)


def _texts(record: DraftRecord, kind: type[attrs.AttrsInstance]) -> dict[str, str]:
    return {name: record.text(name) for name in attrs.fields_dict(kind)}


def _feature(draft: Draft, record: DraftRecord, known_types: frozenset[str]) -> FeatureModel:
    confirmed = _truth(draft, record.texts.get("return_confirmation"))
    texts = {**_texts(record, FeatureModel), "parameters": record.text("parameters") or "{}"}
    del texts["return_confirmation"]
    feature = FeatureModel(**texts, return_confirmation=confirmed)
    if feature.feature_type not in _FEATURE_TYPES:
        draft.warn(
            f"'{feature.feature_type}' is neither sensor nor actuator", record.place("feature_type")
        )
    if feature.device_type_id not in known_types:
        draft.warn(
            f"no device type '{feature.device_type_id}' is described",
            record.place("device_type_id"),
        )
    if not feature.stat_key:
        draft.warn(f"feature '{feature.id}' has no stat_key", record.place("stat_key"))
    if not _is_json_object(feature.parameters):
        draft.warn("the parameters are no JSON object", record.place("parameters"))
    return feature


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
