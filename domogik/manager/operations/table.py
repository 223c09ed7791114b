"""The table: what each operation is called, acts on, takes, answers and needs.

A module of this package declares operations with `@operation`; `TABLE` has all of them. From it
come the paths of `/api/v1` with their OpenAPI text, the commands on xPL and the terminal's part
(`python -m domogik.manager.operations`).
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from domogik.components.model import Component
from domogik.errors import (
    AmbiguousComponent,
    DomogikError,
    NotAllowed,
    NotPossible,
    UnknownComponent,
)
from domogik.manager.health.centre import Health
from domogik.manager.interfaces import IAllHosts
from domogik.manager.operations.parameters import HOST, WAIT, Parameter
from domogik.manager.operations.shape import Shape
from domogik.manager.packages.interfaces import IPackages
from domogik.packages.descriptor.reference import fullname
from domogik.packages.repositories.index import Offer

BASE = "/api/v1"
_LISTED = (
    "This is development mode: packages are listed, not managed (package_path in [domogik] "
    "switches that on)"
)
_HERE = "Of what runs on this host only: elsewhere it is `Not available from another host`."
_ELSEWHERE = "On another host the answer is 202 and the job, where it takes long."
_ALONE = "Packages are managed by a manager, and REST runs here without one: start dmg_manager -r"


class Right(enum.Enum):
    """What an operation asks of its caller."""

    NOTHING = "nothing"
    READ = "read"
    CHANGE = "change"
    PRIVATE = "private"


class Where(enum.Flag):
    """For which hosts an operation is a job, whose end a caller need not wait for."""

    NOWHERE = 0
    HERE = enum.auto()
    ELSEWHERE = enum.auto()


def _nobody(right: Right) -> None:
    """Refuse: without a known caller nothing is allowed."""
    raise NotAllowed("The caller is not known")


@attrs.frozen
class Context:
    """What operations work on, for one caller.

    `given` is None where no packages are managed. `allow` raises `NotAllowed` for what the caller
    may not do. With `wants_warnings` what a plugin needs and lacks is looked for at its start.
    """

    all_hosts: IAllHosts
    given: IPackages | None = None
    allow: Callable[[Right], None] = _nobody
    sees_passwords: bool = False
    wants_warnings: bool = False

    @property
    def packages(self) -> IPackages:
        """Raises `NotPossible` where none are managed."""
        if not self.all_hosts.package_mode:
            raise NotPossible(_LISTED)
        if self.given is None:
            raise NotPossible(_ALONE)
        return self.given

    @property
    def health(self) -> Health:
        """Checks and issues of this host; raises `NotPossible` where no manager runs."""
        health: Health | None = self.all_hosts.health
        if health is None:
            raise NotPossible("Health is a manager's, and REST runs here without one")
        return health

    def offers(self) -> tuple[Offer, ...]:
        """All that the repositories offer."""
        return self.packages.offers()


@attrs.frozen
class PackageName:
    """A package on a host, by its names; it need not be there."""

    host: str
    type: str
    id: str


@attrs.frozen(eq=False)
class Subject:
    """What an operation acts on: it is found by the `names` in its path, and where it can be.

    `label` is what jobs about it have as their subject.
    """

    names: tuple[str, ...]
    find: Callable[[Context, Mapping[str, str], str | None], Any]
    label: Callable[[Any], str | None]
    has_host: bool = False


def _find_component(context: Context, names: Mapping[str, str], host: str | None) -> Component:
    return context.all_hosts.find(names["id"], host)


def _find_host(context: Context, names: Mapping[str, str], host: str | None) -> Component:
    return context.all_hosts.find(f"host:{host or context.all_hosts.host}")


def _find_package(context: Context, names: Mapping[str, str], host: str | None) -> PackageName:
    packages = context.packages
    fullname(names["type"], names["id"])
    return PackageName(host or packages.host, names["type"], names["id"])


NOTHING = Subject((), lambda context, names, host: None, lambda found: None)
COMPONENT = Subject(("id",), _find_component, lambda found: str(found.id), has_host=True)
ONE_HOST = Subject((), _find_host, lambda found: str(found.id), has_host=True)
PACKAGE = Subject(
    ("type", "id"), _find_package, lambda found: fullname(found.type, found.id), has_host=True
)
ISSUE = Subject(
    ("issue",),
    lambda context, names, host: context.health.issue(names["issue"]),
    lambda found: found.component,
)

#: what naming a component can end in
NAMING = (UnknownComponent, AmbiguousComponent)
Run = Callable[..., Awaitable[Any]]


@attrs.frozen(eq=False)
class Operation:
    """One operation. `route` is its method and path, `identifier` its name for generated clients.

    `run` gets the context, what the operation acts on (unless that is nothing), and by name what
    else stands in the path, the parameters, and a body as a mapping. `answer` is how what it
    returns looks in JSON. `errors` are those that it can end in, beside what any operation can.
    `is_local`: it is for what runs on the host that is asked. `xpl` are the fields of the answer
    that are said on xPL, where its name is a command of `domogik.system`; None where it is none.
    `commands` are those of the terminal (`dmg_ctl daemon start`) with their help, empty: the
    summary; `says` is what they print of the answer (`{file}: {size_bytes} bytes`), empty where it
    is a component or a package.
    """

    name: str
    route: str
    answer: Shape
    summary: str
    identifier: str
    run: Run | None = None
    text: str = ""
    subject: Subject = NOTHING
    parameters: tuple[Parameter, ...] = ()
    body: Shape | None = None
    right: Right = Right.READ
    errors: tuple[type[DomogikError], ...] = ()
    job: Where = Where.NOWHERE
    is_local: bool = False
    status: int = 200
    xpl: tuple[str, ...] | None = None
    commands: Mapping[str, str] = MappingProxyType({})
    says: str = ""

    @property
    def method(self) -> str:
        """Of HTTP."""
        return self.route.partition(" ")[0]

    @property
    def path(self) -> str:
        """On `/api/v1`."""
        return self.route.partition(" ")[2]

    @property
    def description(self) -> str:
        """What is told beside the summary."""
        if self.is_local:
            return f"{self.text} {_HERE}".lstrip()
        return f"{self.text} {_ELSEWHERE}".lstrip() if self.job is Where.ELSEWHERE else self.text

    @property
    def query(self) -> tuple[Parameter, ...]:
        """All that can be given beside the names in the path."""
        host = (HOST,) if self.subject.has_host else ()
        return (*host, *self.parameters, *((WAIT,) if self.job else ()))

    def order(
        self,
        context: Context,
        given: Mapping[str, str] = MappingProxyType({}),
        names: Mapping[str, str] = MappingProxyType({}),
        find: Callable[[], Any] | None = None,
        body: Callable[[], Mapping[str, object]] | None = None,
        typed: Mapping[str, Any] = MappingProxyType({}),
    ) -> Order:
        """The operation, ready to be carried out for a caller that has the right.

        Every interface asks for it here: `given` are the parameters as texts, `typed` those that
        need no reading any more, `names` what stands in the path, `find` is another way to find
        what it acts on. Raises `NotAllowed`, `InvalidParameter`, and what `find` raises.
        """
        context.allow(self.right)
        values = {
            one.name: typed[one.name] if one.name in typed else one.read(given.get(one.name))
            for one in self.query
        }
        host = values.get("host")
        found = self.subject.find(context, names, host) if find is None else find()
        values.update((name, names[name]) for name in names if name not in self.subject.names)
        if self.body is not None and body is not None:
            values["body"] = body()
        return Order(self, context, found, values)


@attrs.frozen(eq=False)
class Order:
    """An operation with what it acts on and what was given, which is about to be carried out."""

    operation: Operation
    context: Context
    found: Any
    values: Mapping[str, Any]

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is for another host."""
        own = self.context.all_hosts.host
        return bool(getattr(self.found, "host", own) != own)

    @property
    def job_subject(self) -> str | None:
        """What its job, where it is one, is about."""
        label = self.operation.subject.label(self.found)
        return f"{label}@{self.found.host}" if self.is_elsewhere else label

    def begin(self) -> Awaitable[Any]:
        """Carry it out; what comes of it is awaited."""
        run = self.operation.run
        assert run is not None
        own = {one.name for one in self.operation.parameters}
        added = {one.name for one in self.operation.query} - own
        given = {name: value for name, value in self.values.items() if name not in added}
        acts_on = () if self.operation.subject is NOTHING else (self.found,)
        return run(self.context, *acts_on, **given)


TABLE: dict[str, Operation] = {}


def operation(name: str, route: str, answer: Shape, **rest: Any) -> Callable[[Run], Run]:
    """Declare the function as an operation; its docstring is what is told of it.

    Its first paragraph is the summary. A method other than GET needs `Right.CHANGE` unless said
    otherwise; the identifier is made of the name (`component.stop`: `stopComponent`) likewise.
    """

    def declare(run: Run) -> Run:
        summary, _, description = inspect.cleandoc(run.__doc__ or "").partition("\n\n")
        subject, _, verb = name.partition(".")
        rest.setdefault("right", Right.READ if route.startswith("GET ") else Right.CHANGE)
        rest.setdefault("identifier", f"{verb}{subject.capitalize()}")
        TABLE[name] = Operation(
            name,
            route.replace(" ", f" {BASE}", 1),
            answer,
            " ".join(summary.split()).removesuffix("."),
            run=run,
            text=" ".join(description.split()),
            **rest,
        )
        return run

    return declare
