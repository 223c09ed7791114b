"""Errors that several packages share, and the texts that clients compare."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_OFFERED = 3
_LONGEST_SLIP = 100  # characters; a longer name was not typed


class DomogikError(Exception):
    """The base class of every error of Domogik; `str()` is a sentence for the user.

    Where Domogik's clients compare that sentence, `plain` may hold a clearer one. xPL and RINOR
    send `str()`; `/api/v1`, jobs and the terminal show `words`.
    """

    def __init__(self, text: str = "", *, plain: str = "") -> None:
        super().__init__(text)
        self.plain = plain

    @property
    def words(self) -> str:
        """The sentence to show to the user: `plain` if it is set, else `str()`."""
        return self.plain or str(self)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean diskfree?`, or an empty text if no known name is similar.

    Component ids match with and without their kind.
    """
    import difflib  # only after a slip of the pen: the terminal has to answer quickly

    if len(name) > _LONGEST_SLIP:
        return ""
    written = (one if ":" in name else one.rpartition(":")[2] for one in known)
    forms = {one.lstrip("-"): one for one in written}  # all options begin alike
    near = difflib.get_close_matches(name.lstrip("-"), forms, _MOST_OFFERED)
    return f" Did you mean {' or '.join(forms[one] for one in near)}?" if near else ""


def does_not_exist(name: str, host: str) -> str:
    """Return the text by which Domogik's clients recognise an unknown name, spelled as theirs."""
    return f"Component {name} doesn't exists on {host}"


def already_running(name: str, host: str) -> str:
    """Return the text that Domogik's clients compare after a second start."""
    return f"Component {name} is already running on {host}"


def not_running(name: str, host: str) -> str:
    """Return the text that Domogik's clients compare after a stop of what does not run."""
    return f"Component {name} is not running on {host}"


class UnknownComponent(DomogikError):
    """No component has the given name."""

    @classmethod
    def named(cls, name: str, host: str, known: Iterable[str] = ()) -> UnknownComponent:
        """Return the error with the text that clients compare; `known` are the existing names or
        ids."""
        plain = f"There is no component {name} on {host}.{did_you_mean(name, known)}"
        return cls(does_not_exist(name, host), plain=plain)


class AmbiguousComponent(DomogikError):
    """Components of several kinds have the given name; `candidates` are their full ids."""

    def __init__(self, name: str, candidates: tuple[str, ...]) -> None:
        super().__init__(f"'{name}' may be any of {', '.join(candidates)}: name one of them")
        self.candidates = candidates


class OperationFailed(DomogikError):
    """An operation was tried and did not succeed.

    `str()` is the text that Domogik's clients know; `reason` holds details, if there are any.
    """

    def __init__(self, text: str, reason: str = "", *, plain: str = "") -> None:
        super().__init__(text, plain=plain)
        self.reason = reason

    @property
    def words(self) -> str:
        """The text with its reason, or `plain` if it is set."""
        text = str(self)
        return self.plain or (text if self.reason in text else f"{text} ({self.reason})")


class NotPossible(DomogikError):
    """The operation does not apply to this component, in this state or on this host."""


class InvalidFileName(DomogikError):
    """The text is not the name of a file in the expected directory; paths are refused."""


class NotAllowed(DomogikError):
    """The caller lacks the right for this operation."""


class FetchFailed(DomogikError):
    """Something could not be fetched; `str()` is a sentence that names the address."""

    def __init__(self, url: str, sentence: str) -> None:
        super().__init__(f"{url}: {sentence}")
        self.url = url


class NoAnswer(DomogikError):
    """The other host or program did not answer in time."""
