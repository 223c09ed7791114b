"""`/account`, `/helper` and `/base`: the little that is true of them, for Domoweb 0.3.

There is one user, the administrator, whose password is the token of this host; there are no helpers
and no devices.
"""

from __future__ import annotations

from domogik.api.rinor.envelope import RinorAnswer, RinorError
from domogik.api.router import Asked, Path

_PERSON = {"id": 1, "first_name": "Administrator", "last_name": "", "birthdate": None}
_USER = {
    "id": 1,
    "login": "admin",
    "is_admin": True,
    "skin_used": "",
    "person_id": 1,
    "person": _PERSON,
}
#: what is kept of devices, were there any
_BASE = ("device", "device_technology", "device_type", "device_usage", "feature")


class DomowebPaths:
    """What is asked for so that a page of Domoweb can be shown."""

    def routes(self) -> tuple[Path, ...]:
        """Every path with what answers there."""
        return (
            Path("account/auth/<login>/<password>", self.authenticate),
            Path("account/user/list", self.users),
            Path("account/user/list/by-id/<id>", self.users),
            Path("account/person/list", self.persons),
            Path("account/person/list/by-id/<id>", self.persons),
            Path("helper/<rest...>", self.helper),
            Path("base/<what>/list", self.nothing),
            Path("base/<what>/list/<by>/<value>", self.nothing),
        )

    async def authenticate(self, asked: Asked) -> RinorAnswer:
        """Return the administrator to a client whose password is the token."""
        known = asked.call.access.is_token(asked["password"])
        if asked["login"] != _USER["login"] or not known:
            raise RinorError("Authentification refused")
        return RinorAnswer("account", [_USER], "Authentification granted")

    async def users(self, asked: Asked) -> RinorAnswer:
        """All, or the one of that number."""
        return RinorAnswer("account", _of(asked, _USER))

    async def persons(self, asked: Asked) -> RinorAnswer:
        """All, or the one of that number."""
        return RinorAnswer("person", _of(asked, _PERSON))

    async def helper(self, asked: Asked) -> RinorAnswer:
        """Answer that there are no helpers."""
        if not asked.rest:
            raise RinorError("Bad command, no command given or missing first option")
        return RinorAnswer("helper", [] if asked.rest == ("help",) else ["<No result>"])

    async def nothing(self, asked: Asked) -> RinorAnswer:
        """Answer with an empty list: there are no devices."""
        if asked["what"] not in _BASE:
            raise RinorError(f"{asked['what'][:255]} not allowed for /base")
        return RinorAnswer(asked["what"])


def _of(asked: Asked, record: dict[str, object]) -> list[dict[str, object]]:
    return [record] if asked.values.get("id", "1") == "1" else []
