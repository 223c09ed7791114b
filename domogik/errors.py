"""What went wrong, where several rooms have to agree on the name for it."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_OFFERED = 3
_LONGEST_SLIP = 100  # characters; what is longer is no name that somebody typed


class DomogikError(Exception):
    """The ancestor of every error of ours; `str()` is a sentence for a person.

    Where Domogik's own clients compare that sentence, `plain` may be a better one. xPL and RINOR
    say `str()`; `/api/v1`, jobs and the terminal say `words`.
    """

    def __init__(self, text: str = "", *, plain: str = "") -> None:
        super().__init__(text)
        self.plain = plain

    @property
    def words(self) -> str:
        """What to tell a person."""
        return self.plain or str(self)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean diskfree?`; empty where nothing known is near. Ids match by either form."""
    import difflib  # only after a slip of the pen: the terminal has to answer quickly

    if len(name) > _LONGEST_SLIP:
        return ""
    written = (one if ":" in name else one.rpartition(":")[2] for one in known)
    forms = {one.lstrip("-"): one for one in written}  # all options begin alike
    near = difflib.get_close_matches(name.lstrip("-"), forms, _MOST_OFFERED)
    return f" Did you mean {' or '.join(forms[one] for one in near)}?" if near else ""


class UnknownComponent(DomogikError):
    """Nothing of that name is here."""

    @classmethod
    def named(cls, name: str, host: str, known: Iterable[str] = ()) -> UnknownComponent:
        """With the text that clients compare; `known` are the names or ids there are."""
        plain = f"There is no component {name} on {host}.{did_you_mean(name, known)}"
        return cls(f"Component {name} doesn't exists on {host}", plain=plain)


class AmbiguousComponent(DomogikError):
    """A bare name that several kinds of component have.

    `candidates` are the full ids, to choose from.
    """

    def __init__(self, name: str, candidates: tuple[str, ...]) -> None:
        super().__init__(f"'{name}' may be any of {', '.join(candidates)}: name one of them")
        self.candidates = candidates


class OperationFailed(DomogikError):
    """What was asked was tried and did not succeed.

    The text is the one that Domogik's clients know; `reason` says more, where there is more.
    """

    def __init__(self, text: str, reason: str = "", *, plain: str = "") -> None:
        super().__init__(text, plain=plain)
        self.reason = reason

    @property
    def words(self) -> str:
        """The text with the reason, where nothing better is known."""
        text = str(self)
        return self.plain or (text if self.reason in text else f"{text} ({self.reason})")


class NotPossible(DomogikError):
    """What was asked makes no sense for this component, in this state or on this host."""


class InvalidFileName(DomogikError):
    """Not the name of a file in the directory that is meant; a path is none."""


class NotAllowed(DomogikError):
    """Who asks may not have this."""


class NoAnswer(DomogikError):
    """The other host, or the program asked, kept silent until the time was out."""
