"""What can be asked about components and hosts, and what components can be told to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from domogik.components.model import Backup, Component, Kind
from domogik.errors import NoAnswer, NotPossible, OperationFailed, UnknownComponent, did_you_mean
from domogik.manager.daemons.backups import FILE_NAME
from domogik.manager.interfaces import IAllHosts
from domogik.manager.operations import answers
from domogik.manager.operations.parameters import OF_HOST, Parameter, matching
from domogik.manager.operations.shape import TEXT
from domogik.manager.operations.table import (
    COMPONENT,
    NAMING,
    Context,
    Right,
    Run,
    Where,
    operation,
)

_OF_KIND = Parameter(
    "kind",
    "Only those of one kind.",
    TEXT.schema,
    choices=lambda: [kind.value for kind in Kind.all()],
)
_USER = Parameter("user", "Who may, by default the user of the manager.", TEXT.schema)
_FILE = Parameter(
    "file", "Its name among the backups of this host; no path.", matching(FILE_NAME), required=True
)
_OPTIONAL_FILE = Parameter(
    "file",
    "A new name among the backups of this host, by default of daemon and time.",
    matching(FILE_NAME),
    is_word=True,
)


@attrs.frozen
class Changed:
    """A component after an order, with a sentence for each thing that it needs and lacks."""

    component: Component
    warnings: tuple[str, ...] = ()


def check_host(all_hosts: IAllHosts, name: str | None) -> None:
    """Raises `UnknownComponent` for a host that was never heard."""
    hosts = [all_hosts.host, *(host.id for host in all_hosts.hosts())]
    if name is not None and name not in hosts:
        raise UnknownComponent(f"No host {name} was ever heard{did_you_mean(name, hosts)}")


@operation(
    "component.list",
    "GET /components",
    answers.COMPONENT_LIST,
    identifier="listComponents",
    parameters=(_OF_KIND, OF_HOST),
    errors=(UnknownComponent,),
)
async def list_components(context: Context, kind: str | None, host: str | None) -> dict[str, Any]:
    """Every component of every host."""
    all_hosts = context.all_hosts
    found = all_hosts.components(host)
    if not found:
        check_host(all_hosts, host)
    wanted = [one for one in found if kind is None or one.id.kind.value == kind]
    return {"host": all_hosts.host, "components": wanted}


@operation(
    "component.get",
    "GET /components/{id}",
    answers.COMPONENT,
    subject=COMPONENT,
    errors=NAMING,
)
async def get(context: Context, component: Component) -> Component:
    """One component, with what its processes use now.

    A bare name will do where only one kind of component has it.
    """
    return await context.all_hosts.usage(component)


def _order(verb: str, **kinds: str) -> Callable[[Run], Run]:
    """An order to a component; `kinds` are those with commands of their own, and their help."""
    commands = {f"dmg_ctl {verb}": ""}
    commands.update((f"dmg_ctl {kind} {verb}", text) for kind, text in kinds.items())
    return operation(
        f"component.{verb}",
        f"POST /components/{{id}}/{verb}",
        answers.CHANGED_COMPONENT,
        subject=COMPONENT,
        errors=(*NAMING, NoAnswer),
        job=Where.ELSEWHERE,
        xpl=(),
        commands=commands,
    )


async def _after(context: Context, component: Component, done: Awaitable[None]) -> Changed:
    """The component once the order is carried out."""
    await done
    try:
        return Changed(context.all_hosts.find(str(component.id), component.host))
    except UnknownComponent:
        return Changed(component)  # stopped and gone: it was only there while it ran


async def _with_warnings(
    context: Context, component: Component, act: Callable[[Component], Awaitable[None]]
) -> Changed:
    """The same, with what it needs and lacks; where the order fails the error says so too."""
    if not context.wants_warnings:
        return await _after(context, component, act(component))
    warnings = await context.all_hosts.warnings(component)
    try:
        changed = await _after(context, component, act(component))
    except OperationFailed as error:
        if not warnings:
            raise
        words = ". ".join((error.words.rstrip("."), *warnings))
        raise OperationFailed(str(error), error.reason, plain=words) from error
    return attrs.evolve(changed, warnings=warnings)


@_order("start", daemon="", unit="")
async def start(context: Context, component: Component) -> Changed:
    """Start it; answered once it is alive or running."""
    return await _with_warnings(context, component, context.all_hosts.start)


@_order("stop", daemon="stop what needs it, then it", unit="")
async def stop(context: Context, component: Component) -> Changed:
    """Stop it; answered once no process of it is left."""
    return await _after(context, component, context.all_hosts.stop(component))


@_order("restart", daemon="", unit="")
async def restart(context: Context, component: Component) -> Changed:
    """Stop it if it runs, then start it."""
    return await _with_warnings(context, component, context.all_hosts.restart)


@_order("enable", unit="have it started with the host, and start it")
async def enable(context: Context, component: Component) -> Changed:
    """Have it started with the manager."""
    return await _with_warnings(context, component, context.all_hosts.enable)


@_order("disable", unit="stop it, and have it started with the host no more")
async def disable(context: Context, component: Component) -> Changed:
    """Do not have it started with the manager; not while it runs."""
    return await _after(context, component, context.all_hosts.disable(component))


@operation("host.list", "GET /hosts", answers.HOST_LIST, identifier="listHosts")
async def list_hosts(context: Context) -> dict[str, Any]:
    """The hosts whose manager was heard."""
    return {"host": context.all_hosts.host, "hosts": context.all_hosts.hosts()}


@operation("manager.upgrade", "POST /upgrade", answers.ACCEPTED, status=202, errors=(NotPossible,))
async def upgrade(context: Context) -> dict[str, Any]:
    """Execute the manager anew; its children go on."""
    context.all_hosts.upgrade()
    return {"accepted": True}


@operation(
    "unit.rule",
    "GET /units/rule",
    answers.UNIT_RULE,
    identifier="getUnitRule",
    commands={"dmg_ctl unit rule": ""},
    says="{rule}",
    parameters=(_USER,),
    errors=(NotPossible,),
)
async def unit_rule(context: Context, user: str | None) -> dict[str, Any]:
    """A polkit rule that lets a manager without root manage the declared units."""
    return {"rule": context.all_hosts.unit_rule(user)}


# What components of this host only can be asked

_HERE: dict[str, Any] = {"subject": COMPONENT, "errors": NAMING, "is_local": True}


@operation(
    "component.reload",
    "POST /components/{id}/reload",
    answers.COMPONENT,
    commands={"dmg_ctl daemon reload": ""},
    **_HERE,
)
async def reload(context: Context, component: Component) -> Component:
    """Have it read its configuration again."""
    await context.all_hosts.reload(component)
    return context.all_hosts.find(str(component.id), component.host)


@operation(
    "component.credentials",
    "GET /components/{id}/credentials",
    answers.CREDENTIALS,
    identifier="getCredentials",
    commands={"dmg_ctl daemon credentials": ""},
    says="{url}",
    right=Right.PRIVATE,
    **_HERE,
)
async def credentials(context: Context, component: Component) -> dict[str, Any]:
    """Where it is reached, with its password: for the token only."""
    url = context.all_hosts.credentials(component)
    return {"id": component.id, "host": component.host, "url": url}


@operation(
    "component.backups",
    "GET /components/{id}/backups",
    answers.BACKUP_LIST,
    identifier="listBackups",
    **_HERE,
)
async def backups(context: Context, component: Component) -> dict[str, Any]:
    """The files there are."""
    return {"backups": await context.all_hosts.backups(component)}


@operation(
    "component.backup",
    "POST /components/{id}/backup",
    answers.BACKUP,
    identifier="backUpComponent",
    commands={"dmg_ctl daemon backup": ""},
    says="{file}: {size_bytes} bytes",
    parameters=(_OPTIONAL_FILE,),
    job=Where.HERE,
    **_HERE,
)
async def backup(context: Context, component: Component, file: str | None) -> Backup:
    """Write all its data into a new file."""
    return await context.all_hosts.backup(component, file)


@operation(
    "component.restore",
    "POST /components/{id}/restore",
    answers.COMPONENT,
    parameters=(_FILE,),
    commands={"dmg_ctl daemon restore": ""},
    job=Where.HERE,
    **_HERE,
)
async def restore(context: Context, component: Component, file: str) -> Component:
    """Put a backup in place of its data; who needs it is stopped meanwhile."""
    await context.all_hosts.restore(component, file)
    return context.all_hosts.find(str(component.id), component.host)
