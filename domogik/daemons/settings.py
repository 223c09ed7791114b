"""What `[daemon:<name>]` says of one managed daemon."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from domogik.config.load import BrokenConfiguration, Configuration, Setting
from domogik.daemons.core.errors import InvalidParameters
from domogik.daemons.core.parameters import Option, Parameters, address
from domogik.daemons.kinds import daemon_class, kinds
from domogik.supervisor.settings import Supervision

PREFIX = "daemon:"
_COMMON = ("kind", "port", "bind", "password", "run_as", "keep_running")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_ANY_PORT = 1


@attrs.frozen
class DaemonSettings:
    """One section. `port` is None where any free one will do, which then stays.

    `options` are the kind's own keys, those that are given.
    """

    name: str
    kind: str
    port: int | None = None
    bind: str = "127.0.0.1"
    password: str | None = attrs.field(default=None, repr=False)
    run_as: str | None = None
    keep_running: bool = False
    options: Mapping[str, Option] = attrs.field(factory=dict)
    #: file and line, for a person
    place: str = attrs.field(default="", eq=False)

    @property
    def has_password(self) -> bool:
        """Whether such a server asks for one; without one in its section it is made up."""
        return daemon_class(self.kind).takes_password

    @property
    def variable(self) -> str:
        """The name of the variable that tells plugins where it is."""
        return f"DOMOGIK_DAEMON_{self.name.upper().replace('-', '_')}"

    @classmethod
    def of(cls, configuration: Configuration, name: str) -> DaemonSettings:
        """Raises `BrokenConfiguration`, which names file and line."""
        given = configuration.section(f"{PREFIX}{name}")
        settings = {key: setting for key, setting in given.items() if setting.text()}
        section = f"{PREFIX}{name}"
        if not _NAME.fullmatch(name):
            sentence = "must be named by at most 41 letters, digits, - and _"
            raise configuration.broken(section, sentence)
        if "kind" not in settings:
            raise configuration.broken(section, f"needs a kind: one of {', '.join(kinds())}")
        kind = settings["kind"].choice(*kinds())

        def text(key: str) -> str | None:
            return settings[key].text() if key in settings else None

        made = cls(
            name=name,
            kind=kind,
            port=settings["port"].integer(1, 65535) if "port" in settings else None,
            bind=address(text("bind") or "127.0.0.1"),
            password=text("password"),
            run_as=text("run_as"),
            keep_running=settings["keep_running"].boolean()
            if "keep_running" in settings
            else False,
            options=_options(kind, settings),
            place=_place(settings.get("port", settings["kind"])),
        )
        made._check(settings)
        return made

    def _check(self, settings: Mapping[str, Setting]) -> None:
        if self.password is not None and not self.has_password:
            raise _broken(settings["password"], f"is no key of a {self.kind}")
        for key, arguments in (
            ("bind", {"host": self.bind}),
            ("password", {"password": self.password}),
        ):
            try:
                Parameters(self.kind, _ANY_PORT, **arguments)
            except InvalidParameters as error:
                raise _broken(settings[key], str(error)) from None


def all_settings(configuration: Configuration) -> dict[str, DaemonSettings]:
    """Every daemon that is configured, by its name; raises `BrokenConfiguration`."""
    found: dict[str, DaemonSettings] = {}
    variables: dict[str, str] = {}
    for section in configuration.sections(PREFIX):
        name = section.removeprefix(PREFIX)
        found[name] = DaemonSettings.of(configuration, name)
        other = variables.setdefault(found[name].variable, name)
        if other != name:
            raise configuration.broken(section, f"would share a variable with [{PREFIX}{other}]")
    return found


def daemon_policies(
    configuration: Configuration,
) -> dict[str, tuple[DaemonSettings, Supervision]]:
    """Every daemon with how it is kept running; raises `BrokenConfiguration`."""
    return {
        name: (one, Supervision.of(configuration, f"{PREFIX}{name}", daemon_class(one.kind).policy))
        for name, one in all_settings(configuration).items()
    }


def _place(setting: Setting) -> str:
    return f"{setting.path.name}:{setting.line}"


def _options(kind: str, settings: Mapping[str, Setting]) -> dict[str, Option]:
    defaults = daemon_class(kind).defaults
    options: dict[str, Option] = {}
    for key, setting in settings.items():
        if key in _COMMON:
            continue
        if key not in defaults:
            known = ", ".join(sorted((*_COMMON, *defaults)))
            raise setting.broken(f"is no key of a {kind}: it has {known}")
        options[key] = _typed(setting, defaults[key])
    return options


def _broken(setting: Setting, sentence: str) -> BrokenConfiguration:
    """As its own `broken`, but a password is not quoted."""
    if setting.key != "password":
        return setting.broken(sentence)
    where = f"{setting.key} in [{setting.section}]"
    return setting.refused(f"{where} {sentence}")


def _typed(setting: Setting, default: Option) -> Option:
    if isinstance(default, bool):
        return setting.boolean()
    if isinstance(default, int):
        return setting.integer()
    if isinstance(default, list):
        return list(setting.words())
    return setting.text()
