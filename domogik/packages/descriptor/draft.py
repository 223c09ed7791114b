"""What a descriptor says, before anybody has judged it; the two forms of descriptor end here.

The files that people have were never checked by anybody: whatever has one sensible meaning is
taken with a warning, and only what cannot be understood is refused.
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
    """A text and where it was: `element` as a person finds it, `line` from 1, 0 when unknown."""

    text: str
    element: str
    line: int = 0


@attrs.frozen
class DescriptorProblem:
    """What is not as it should be, and where: a file, an element as a person finds it, a line.

    `line` counts from 1, and is 0 where it is unknown; `element` may be empty.
    """

    path: Path
    sentence: str
    element: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else f"{self.path}"
        return ": ".join(part for part in (place, self.element, self.sentence) if part)


class BrokenDescriptor(DomogikError):
    """A descriptor that cannot be read or understood; `str()` names file, line and element."""

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
        """What is written there, empty where nothing is."""
        found = self.texts.get(name)
        return found.text if found is not None else ""

    def place(self, name: str) -> FoundText:
        """Where it is written, or else where it is missing."""
        return self.texts.get(name, self.at)


@attrs.define
class Draft:
    """A descriptor as written.

    `texts` has the single texts by the names of `Package`'s fields, and `category`, which older
    files call the technology.
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
        """What is written there, empty where nothing is."""
        found = self.texts.get(name)
        return found.text if found is not None else ""

    def warn(self, sentence: str, at: FoundText | None = None) -> None:
        """Note what is not as it should be, and where."""
        if len(self.warnings) < _MAXIMUM_WARNINGS:
            element, line = (at.element, at.line) if at is not None else ("", 0)
            self.warnings.append(DescriptorProblem(self.path, sentence, element, line))

    def broken(self, sentence: str, at: FoundText | None = None) -> BrokenDescriptor:
        """The error to raise for what cannot be understood, and where."""
        element, line = (at.element, at.line) if at is not None else ("", 0)
        return BrokenDescriptor(self.path, sentence, element, line)
