"""The client of `domogik.config`, which reads plugin settings from dbmgr."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar, overload

import attrs
from twisted.logger import Logger

from domogik.config.remembered import Remembered
from domogik.xpl.codec.message import STAT, Message
from domogik.xpl.node.identity import Identity, NoReply

SCHEMA = "domogik.config"

#: "not set" in messages: versions 0.2 and 0.3 refuse a message with an empty value
UNSET = "None"

#: replaces a password; setting it as a new value changes nothing
MASK = "********"
#: seconds to wait for the password itself if the mask came first
_PASSWORD_S = 3.0

#: seconds to wait after dbmgr has not answered once, until it answers again: ten keys must not cost
#: ten time-outs
SILENT_TIMEOUT_S = 0.3
_REPEAT_S = 2.0

MOST_INTERFACES = 100

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})

N = TypeVar("N", int, float)


@attrs.frozen
class Value:
    """A value as it was last received.

    `text` is None if nothing is set. `received_at` is the Unix time in seconds at which dbmgr sent
    it, or None if it never did; `remembered` means that dbmgr did not answer this time.
    """

    text: str | None = None
    received_at: float | None = None
    remembered: bool = False


@attrs.define(eq=False, kw_only=True)
class ConfigurationClient:
    """Reads the settings of one plugin on one host, and stores the last answers.

    `now` returns Unix time in seconds; `timeout` is in seconds. With a `provider` only that host's
    dbmgr is asked, otherwise any.
    """

    _identity: Identity
    _technology: str
    _hostname: str
    _remembered: Remembered
    _now: Callable[[], float]
    _timeout: float = 10.0
    _provider: str = ""
    _log: Logger = Logger()
    _silent: bool = attrs.field(init=False, default=False)

    @overload
    async def __call__(self, key: str, default: str) -> str: ...

    @overload
    async def __call__(self, key: str, default: None = None) -> str | None: ...

    async def __call__(self, key: str, default: str | None = None) -> str | None:
        """Return the value of `key` as text; `default` if nothing is set or was ever received."""
        text = (await self.value(key)).text
        return default if text is None else text

    async def integer(
        self, key: str, default: int, *, minimum: int | None = None, maximum: int | None = None
    ) -> int:
        """Return a whole number; `default`, with a log line, if it is none or out of bounds."""
        return await self._read(key, default, int, minimum, maximum)

    async def number(
        self,
        key: str,
        default: float,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
    ) -> float:
        """Return a number; `default`, with a log line, if it is none or out of bounds."""
        return await self._read(key, default, _finite, minimum, maximum)

    async def boolean(self, key: str, default: bool = False) -> bool:
        """Return True for True, yes, on and 1, False for False, no, off and 0, in any case."""
        return bool(await self._read(key, default, _parse_boolean, None, None))

    async def interfaces(self, *keys: str) -> list[dict[str, str]]:
        """Return a mapping for each number: `<key>-1` of every key, then `<key>-2`, ...

        `nb-int` is their number; if it is not set, they are read until a number is missing or
        repeats. An interface whose first key is not set is left out; other missing values are
        empty.
        """
        count = await self.integer("nb-int", 0, minimum=0, maximum=MOST_INTERFACES)
        found: list[dict[str, str]] = []
        for number in range(1, (count or MOST_INTERFACES) + 1):
            interface = {key: await self(f"{key}-{number}", "") for key in keys}
            is_set = interface[keys[0]] != ""
            # A default that is given for every number must not go on for ever.
            if not count and (not is_set or interface in found):
                break
            if is_set:
                found.append(interface)
        return found

    async def value(self, key: str) -> Value:
        """Return what dbmgr answers, else its last answer.

        The request has `technology`, `hostname` and `key`; the answer repeats the first two and has
        the key as the name of the value.
        """
        try:
            answer = await self._ask(
                key, min(SILENT_TIMEOUT_S, self._timeout) if self._silent else self._timeout
            )
        except NoReply:
            self._on_no_reply()
            return self._last(key)
        if answer.get(key) == MASK:  # the password is sent to our port, usually before this
            try:
                answer = await self._ask(key, min(_PASSWORD_S, self._timeout), masked=False)
            except NoReply:
                self._log.warn("dbmgr does not tell {key} to this program", key=key)
                return self._last(key)
        self._silent = False
        if answer.get(key) is None:
            self._log.warn("dbmgr on {key}: {error}", key=key, error=answer.get("error"))
            return self._last(key)
        text = _unset_to_none(answer.get(key))
        self._remembered.put(key, text, self._now())
        return Value(text, self._now())

    async def _ask(self, key: str, timeout_s: float, *, masked: bool = True) -> Message:
        body = (("technology", self._technology), ("hostname", self._hostname), ("key", key))
        return await self._identity.request(
            SCHEMA,
            body,
            answer=lambda message: (
                self._is_answer(message, key) and (masked or message.get(key) != MASK)
            ),
            target=f"domogik-dbmgr.{self._provider}" if self._provider else "*",
            timeout=timeout_s,
            repeat=_REPEAT_S,
        )

    def _is_answer(self, message: Message, key: str) -> bool:
        return (
            message.type == STAT
            and message.schema == SCHEMA
            and message.vendor_device == "domogik-dbmgr"
            and (not self._provider or message.instance == self._provider)
            and message.get("technology") == self._technology
            and message.get("hostname") == self._hostname
            and (
                message.get(key) is not None
                or (message.get("key") == key and message.get("error") is not None)
            )
        )

    def _on_no_reply(self) -> None:
        if not self._silent:
            self._silent = True
            self._log.warn("the database manager does not answer: using the values it gave last")

    def _last(self, key: str) -> Value:
        remembered = self._remembered.get(key)
        if remembered is None:
            return Value(remembered=True)
        return Value(remembered.value, remembered.received, remembered=True)

    async def _read(
        self,
        key: str,
        default: N,
        reader: Callable[[str], N],
        minimum: N | None,
        maximum: N | None,
    ) -> N:
        text = (await self.value(key)).text
        if text is None:
            return default
        try:
            number = reader(text.strip())
        except ValueError:
            problem = "cannot be understood"
        else:
            if minimum is not None and number < minimum:
                problem = f"must be at least {minimum}"
            elif maximum is not None and number > maximum:
                problem = f"must be at most {maximum}"
            else:
                return number
        self._log.warn(
            "{key}={text} {problem}: using {default}",
            key=key,
            text=text,
            problem=problem,
            default=default,
        )
        return default


def _unset_to_none(text: str | None) -> str | None:
    return None if text is None or text.strip() in ("", UNSET) else text


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _parse_boolean(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(text)
    return word in _TRUE
