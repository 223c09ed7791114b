"""The content of a descriptor before validation; both forms of descriptor are parsed to it.

Existing descriptors were never validated, so anything with one sensible meaning is accepted with a
warning, and only what cannot be understood is refused.
"""

from __future__ import annotations

from pathlib import Path

import attrs

from domogik.errors import DomogikError

#: what a cache adds about where a descriptor came from: name -> field
REPOSITORY = {
    "source": "repository_source",
    "package": "repository_url",
    "priority": "repository_priority",
}
#: a file that does everything wrong is told so much
_MAXIMUM_WARNINGS = 100


@attrs.frozen
class FoundText:
    """A text and its position: `element` as shown to the user, `line` from 1, 0 if unknown."""

    text: str
    element: str
    line: int = 0


@attrs.frozen
class DescriptorProblem:
    """A defect of a descriptor and its position: file, element and line.

    `line` counts from 1, and is 0 if unknown; `element` may be empty.
    """

    path: Path
    sentence: str
    element: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        return ": ".join(part for part in (place, self.element, self.sentence) if part)


class BrokenDescriptor(DomogikError):
    """A descriptor cannot be read or understood; `str()` names file, line and element."""

    def __init__(self, path: Path, sentence: str, element: str = "", line: int = 0) -> None:
        self.problem = DescriptorProblem(path, sentence, element, line)
        super().__init__(str(self.problem))
        self.path = path
        self.element = element
        self.line = line


@attrs.define
class DraftKey:
    """A configuration key as written."""

    at: FoundText
    order: FoundText | None
    key: FoundText | None
    type: FoundText | None
    description: FoundText | None
    default: FoundText | None
    options: list[FoundText]
    interface: FoundText | None
    optional: FoundText | None


@attrs.define
class DraftRecord:
    """A device type, feature model, udev rule or dependency: names and texts as written."""

    at: FoundText
    texts: dict[str, FoundText]

    def text(self, name: str) -> str:
        """Return the text of that name, or an empty one."""
        found = self.texts.get(name)
        return found.text if found is not None else ""

    def place(self, name: str) -> FoundText:
        """Return the text of that name, or the record if it is missing, for its position."""
        return self.texts.get(name, self.at)


@attrs.define
class Draft:
    """A descriptor as written.

    `texts` has the single texts by the names of `Package`'s fields, and `category`, the older name
    of the technology.
    """

    path: Path
    texts: dict[str, FoundText] = attrs.field(factory=dict)
    keys: list[DraftKey] = attrs.field(factory=list)
    files: list[FoundText] = attrs.field(factory=list)
    external_files: list[FoundText] = attrs.field(factory=list)
    dependencies: list[DraftRecord] = attrs.field(factory=list)
    udev_rules: list[DraftRecord] = attrs.field(factory=list)
    device_types: list[DraftRecord] = attrs.field(factory=list)
    feature_models: list[DraftRecord] = attrs.field(factory=list)
    warnings: list[DescriptorProblem] = attrs.field(factory=list)

    def text(self, name: str) -> str:
        """Return the text of that name, or an empty one."""
        found = self.texts.get(name)
        return found.text if found is not None else ""

    def warn(self, sentence: str, at: FoundText | None = None) -> None:
        """Add a warning with its position."""
        if len(self.warnings) < _MAXIMUM_WARNINGS:
            element, line = (at.element, at.line) if at is not None else ("", 0)
            self.warnings.append(DescriptorProblem(self.path, sentence, element, line))

    def broken(self, sentence: str, at: FoundText | None = None) -> BrokenDescriptor:
        """Return the error for what cannot be understood, with its position."""
        element, line = (at.element, at.line) if at is not None else ("", 0)
        return BrokenDescriptor(self.path, sentence, element, line)
