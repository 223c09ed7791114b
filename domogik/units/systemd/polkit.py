"""The polkit rule that lets a manager without root privileges manage its units and no others.

Source: polkit(8), "Authorization rules"; org.freedesktop.systemd1(5), "Security". systemd tells
polkit the unit and the verb of a start or stop, and does not name the unit that is to be enabled.
"""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Iterable

from domogik.errors import DomogikError
from domogik.units.systemd.names import unit_name, with_suffix

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?", re.ASCII)
_VERBS = (
    "start",
    "stop",
    "restart",
    "try-restart",
    "reload",
    "reload-or-try-restart",
    "reset-failed",
)


class InvalidUser(DomogikError):
    """The text is not the name of a user."""


def own_user() -> str:
    """Return the name of the user that this process runs as, or its number without a name."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def polkit_rule(units: Iterable[str], user: str) -> str:
    """Return a rule that lets `user` manage these units and the services of sockets.

    It does not allow enabling, for which polkit is not told the unit. Raises `InvalidUnitName`
    and `InvalidUser`.
    """
    if not _USER.fullmatch(user):
        raise InvalidUser(f"{user[:40]!r} is not the name of a user")
    names = {unit_name(name) for name in units}
    names |= {with_suffix(name, "service") for name in names if name.endswith(".socket")}
    return f"""\
// To be saved by root as /etc/polkit-1/rules.d/50-domogik-units.rules
// Lets {user} start, stop, restart and reload the units that Domogik manages, and no others.
polkit.addRule(function(action, subject) {{
    var units = {_array(sorted(names))};
    var verbs = {_array(_VERBS)};
    if (subject.user == {_text(user)} &&
        action.id == "org.freedesktop.systemd1.manage-units" &&
        units.indexOf(action.lookup("unit")) >= 0 &&
        verbs.indexOf(action.lookup("verb")) >= 0) {{
        return polkit.Result.YES;
    }}
}});
// To enable, disable, mask and unmask units, and to read unit files again, systemd asks polkit
// without naming a unit: to allow it to Domogik is to allow it for every unit of this host, by
// org.freedesktop.systemd1.manage-unit-files and org.freedesktop.systemd1.reload-daemon.
"""


def _text(text: str) -> str:
    # JSON is JavaScript but for two separators of lines, which no name here holds
    return json.dumps(text)


def _array(texts: Iterable[str]) -> str:
    lines = ",\n        ".join(map(_text, texts))
    return f"[\n        {lines}\n    ]" if lines else "[]"
