"""`/components`: look at them, and tell them what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import attrs
from twisted.internet.interfaces import IReactorTime

from domogik.api.access import Need
from domogik.api.http.exchange import Reply
from domogik.api.package_access import PackageAccess
from domogik.api.v1.jobs import WAIT, Patience, carried_out
from domogik.api.v1.routes import BASE, JSON, Asked, Parameter, Route, json_reply
from domogik.api.v1.shapes.components import TEXT, component_json, host_json, named
from domogik.components.model import Component, Kind
from domogik.errors import OperationFailed, UnknownComponent, did_you_mean
from domogik.manager.interfaces import IAllHosts

ONE = f"{BASE}/components/{{id}}"
HOST = Parameter("host", "The host it is on, by default the one that answers.", TEXT)
OF_HOST = Parameter("host", "Only those of one host.", TEXT)
#: what naming a component can end in
NAMING = (404, 409)

_ONE_COMPONENT = {JSON: named("Component")}
_DONE = {
    "start": "Start it; answered once it is alive or running",
    "stop": "Stop it; answered once no process of it is left",
    "restart": "Stop it if it runs, then start it",
    "enable": "Have it started with the manager",
    "disable": "Do not have it started with the manager; not while it runs",
}


#: what they need to run is told with these
_NEEDS = ("start", "restart", "enable")


def find(all_hosts: IAllHosts, asked: Asked) -> Component:
    """The component of the path; raises what `IAllHosts.find` raises."""
    return all_hosts.find(asked["id"], asked.text("host"))


def check_host(all_hosts: IAllHosts, name: str | None) -> None:
    """Raises `UnknownComponent` for a host that was never heard."""
    hosts = [all_hosts.host, *(host.id for host in all_hosts.hosts())]
    if name is not None and name not in hosts:
        raise UnknownComponent(f"No host {name} was ever heard{did_you_mean(name, hosts)}")


@attrs.define(eq=False)
class ComponentRoutes:
    """Reading, the five verbs, the hosts, and the upgrade of the manager."""

    _clock: IReactorTime
    _all_hosts: IAllHosts
    _package_access: PackageAccess

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (
            Route(
                "GET",
                f"{BASE}/components",
                "listComponents",
                "Every component of every host",
                self.list,
                {JSON: named("ComponentList")},
                query=(
                    Parameter(
                        "kind",
                        "Only those of one kind.",
                        {**TEXT, "enum": [kind.value for kind in Kind.all()]},
                    ),
                    OF_HOST,
                ),
                errors=(404,),
            ),
            Route(
                "GET",
                ONE,
                "getComponent",
                "One component, with what its processes use now",
                self.get,
                _ONE_COMPONENT,
                query=(HOST,),
                errors=NAMING,
                description="A bare name will do where only one kind of component has it.",
            ),
            *self._verbs(),
            Route(
                "GET",
                f"{BASE}/hosts",
                "listHosts",
                "The hosts whose manager was heard",
                self.hosts,
                {JSON: named("HostList")},
            ),
            Route(
                "POST",
                f"{BASE}/upgrade",
                "upgradeManager",
                "Execute the manager anew; its children go on",
                self.upgrade,
                {JSON: named("Accepted")},
                status=202,
                need=Need.CHANGE,
                errors=(409,),
            ),
        )

    def _verbs(self) -> Iterator[Route]:
        all_hosts = self._all_hosts
        acts = (
            all_hosts.start,
            all_hosts.stop,
            all_hosts.restart,
            all_hosts.enable,
            all_hosts.disable,
        )
        for (verb, summary), act in zip(_DONE.items(), acts, strict=True):
            yield Route(
                "POST",
                f"{ONE}/{verb}",
                f"{verb}Component",
                summary,
                self._verb(act, needs=verb in _NEEDS),
                {JSON: named("ChangedComponent")},
                need=Need.CHANGE,
                query=(HOST, WAIT),
                errors=(*NAMING, 504),
                accepted=named("Job"),
                description="On another host the answer is 202 and the job, where it takes long.",
            )

    async def list(self, asked: Asked) -> Reply:
        """In the steady order of the house."""
        kind, host = asked.text("kind"), asked.text("host")
        components = self._all_hosts.components(host)
        if not components:
            check_host(self._all_hosts, host)
        return json_reply(
            {
                "host": self._all_hosts.host,
                "components": [
                    component_json(component)
                    for component in components
                    if kind is None or component.id.kind.value == kind
                ],
            }
        )

    async def get(self, asked: Asked) -> Reply:
        """With fresh figures where it runs here."""
        return json_reply(component_json(await self._all_hosts.usage(find(self._all_hosts, asked))))

    async def hosts(self, asked: Asked) -> Reply:
        """This one first."""
        hosts = [host_json(host) for host in self._all_hosts.hosts()]
        return json_reply({"host": self._all_hosts.host, "hosts": hosts})

    async def upgrade(self, asked: Asked) -> Reply:
        """The answer leaves before the manager does."""
        self._all_hosts.upgrade()
        return json_reply({"accepted": True}, 202)

    def _verb(
        self, act: Callable[[Component], Awaitable[None]], *, needs: bool
    ) -> Callable[[Asked], Awaitable[Reply]]:
        async def do(asked: Asked) -> Reply:
            component = find(self._all_hosts, asked)

            async def work() -> tuple[str, ...]:
                warnings = await self._all_hosts.warnings(component) if needs else ()
                try:
                    await act(component)
                except OperationFailed as error:
                    if not warnings:
                        raise
                    words = ". ".join((error.words.rstrip("."), *warnings))
                    raise OperationFailed(str(error), error.reason, plain=words) from error
                return warnings

            def done(warnings: tuple[str, ...]) -> Reply:
                try:
                    after = self._all_hosts.find(str(component.id), component.host)
                except UnknownComponent:
                    after = component  # stopped and gone: it was only there while it ran
                return json_reply({**component_json(after), "warnings": list(warnings)})

            elsewhere = component.host != self._all_hosts.host
            patience = Patience(self._clock, self._all_hosts.patience_s) if elsewhere else None
            subject = f"{component.id}@{component.host}"
            return await carried_out(asked, self._package_access, subject, work, done, patience)

        return do
