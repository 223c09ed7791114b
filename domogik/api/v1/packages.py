"""`/packages`: what is installed, what is offered, and all that can be done with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime

from domogik.api.access import Need
from domogik.api.http.exchange import Reply
from domogik.api.http.uploads import upload_of
from domogik.api.package_access import PackageAccess
from domogik.api.rinor.package_items import Encoded
from domogik.api.v1.components import HOST, OF_HOST, check_host
from domogik.api.v1.jobs import WAIT, Patience, carried_out
from domogik.api.v1.routes import BASE, FLAG, JSON, Asked, Parameter, Route, json_reply, matching
from domogik.api.v1.shapes.components import named
from domogik.api.v1.shapes.packages import (
    TYPE,
    absent_json,
    dependency_json,
    offer_json,
    package_json,
)
from domogik.errors import UnknownComponent, did_you_mean
from domogik.manager.packages.interfaces import IPackages
from domogik.packages.descriptor.reference import RELEASE, PackageRef, fullname, parse_fullname

PACKAGES = f"{BASE}/packages"
ONE = f"{PACKAGES}/{{type}}/{{id}}"
_PACKAGE = {JSON: named("Package")}
_ARCHIVE = ("application/octet-stream", "application/gzip")
_OF_TYPE = Parameter("type", "Only those of one type.", TYPE)
_RELEASE = Parameter("release", "Which one; by default the newest that fits.", matching(RELEASE))
_WITH_DATA = Parameter("with_data", "Its own data too.", {**FLAG, "default": False})
_WITH_DEPENDENCIES = Parameter(
    "with_dependencies",
    "What a plugin needs of Python too, into an environment of its own.",
    {**FLAG, "default": False},
)
_AGAIN = Parameter(
    "again", "Also a release that was given up here before.", {**FLAG, "default": False}
)
#: naming one, its state, a repository that fails, and another host that is silent
_ERRORS = (404, 409, 502, 504)

Act = Callable[[IPackages, str, Asked], Coroutine[Any, Any, object]]

#: verb -> what it does, further parameters, whether it takes its time
_VERBS: dict[str, tuple[str, tuple[Parameter, ...], bool]] = {
    "install": (
        "Install it; answered once it is there",
        (_RELEASE, _WITH_DEPENDENCIES),
        True,
    ),
    "update": (
        "Stop it, put the newer release in its place, start it, watch it; if that fails, all back",
        (_RELEASE, _AGAIN),
        True,
    ),
    "rollback": ("Back to the release that was there before", (), True),
    "uninstall": ("Remove everything that it brought", (_WITH_DATA,), True),
    "hold": ("Have updates leave it alone", (), False),
    "unhold": ("Have it updated again", (), False),
}


def _act(verb: str) -> Act:
    async def act(packages: IPackages, host: str, asked: Asked) -> object:
        type, id, release = asked["type"], asked["id"], asked.text("release")
        if verb == "install":
            needs = asked.flag("with_dependencies")
            return await packages.install(host, type, id, release, with_dependencies=needs)
        if verb == "update":
            return await packages.update(host, type, id, release, again=asked.flag("again"))
        if verb == "rollback":
            return await packages.rollback(host, type, id)
        if verb == "uninstall":
            with_data = asked.flag("with_data")
            await packages.uninstall(host, type, id, with_data=with_data)
        else:
            await packages.hold(host, type, id, held=verb == "hold")
        return None

    return act


@attrs.define(eq=False)
class PackageRoutes:
    """Reading, the six verbs, uploads."""

    _clock: IReactorTime
    _package_access: PackageAccess
    _offers: Encoded = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        events = self._package_access.all_hosts.events
        self._offers = Encoded(self._clock, offer_json, self._package_access.offers, events)

    def stop(self) -> None:
        """Nothing goes on by itself any more."""
        self._offers.stop()

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (
            Route(
                "GET",
                PACKAGES,
                "listPackages",
                "What is installed, on every host",
                self.list,
                {JSON: named("PackageList")},
                query=(OF_HOST, _OF_TYPE),
                errors=(404, 409),
            ),
            Route(
                "GET",
                f"{PACKAGES}/offers",
                "listOffers",
                "What the repositories offer, every release, the newest of each package first",
                self.offers,
                {JSON: named("OfferList")},
                query=(_OF_TYPE,),
                errors=(409,),
            ),
            Route(
                "POST",
                f"{PACKAGES}/upload",
                "uploadPackage",
                "Take an archive into the local repository, from where any host can install it",
                self.upload,
                {JSON: named("Uploaded")},
                status=201,
                need=Need.CHANGE,
                body={"type": "string", "format": "binary", "minLength": 1},
                body_types=_ARCHIVE,
                errors=(409, 415, 422, 503, 507),
            ),
            Route(
                "GET",
                f"{PACKAGES}/{{fullname}}",
                "getPackage",
                "One package: where it is installed, and which releases are offered",
                self.get,
                {JSON: named("PackageDetail")},
                errors=(404, 409),
                description="`fullname` is `<type>-<id>`, such as `plugin-diskfree`.",
            ),
            Route(
                "GET",
                f"{ONE}/dependencies",
                "getDependencies",
                "What it needs, and whether the host has it",
                self.dependencies,
                {JSON: named("DependencyList")},
                query=(
                    HOST,
                    Parameter("release", "By default what is installed.", matching(RELEASE)),
                ),
                errors=_ERRORS,
            ),
            *self._verbs(),
        )

    def _verbs(self) -> Iterator[Route]:
        for verb, (summary, query, takes_time) in _VERBS.items():
            yield Route(
                "POST",
                f"{ONE}/{verb}",
                f"{verb}Package",
                summary,
                self._verb(_act(verb), takes_time),
                _PACKAGE,
                need=Need.CHANGE,
                query=(HOST, *query, *((WAIT,) if takes_time else ())),
                errors=_ERRORS,
                accepted=named("Job") if takes_time else None,
            )

    async def list(self, asked: Asked) -> Reply:
        """By host and name."""
        packages = self._package_access.packages
        host = asked.text("host")
        found = packages.installed(host, asked.text("type"))
        if not found:
            check_host(self._package_access.all_hosts, host)
        return json_reply(
            {"host": packages.host, "packages": [package_json(package) for package in found]}
        )

    async def offers(self, asked: Asked) -> Reply:
        """Each offer is encoded once."""
        packages = self._package_access.packages
        offers = await self._offers.array(packages.offers(asked.text("type")))
        head = json_reply({"host": packages.host})
        return attrs.evolve(head, body=b'%s, "offers": %s}' % (head.body[:-1], offers))

    async def get(self, asked: Asked) -> Reply:
        """Raises `InvalidReference` and `UnknownComponent`."""
        type, id = parse_fullname(asked["fullname"])
        packages = self._package_access.packages
        installed = [package for package in packages.installed(None, type) if package.ref.id == id]
        offers = [offer for offer in packages.offers(type) if offer.package.id == id]
        if not installed and not offers:
            there = {one.ref.id for one in packages.installed(None, type)}
            there.update(offer.package.id for offer in packages.offers(type))
            text = f"No package '{type}-{id}' is installed or offered."
            raise UnknownComponent(text + did_you_mean(id, sorted(there)))
        return json_reply(
            {
                "fullname": f"{type}-{id}",
                "type": type,
                "id": id,
                "installed": [package_json(package) for package in installed],
                "offers": [offer_json(offer) for offer in offers],
            }
        )

    async def dependencies(self, asked: Asked) -> Reply:
        """In the order of the descriptor."""
        packages, host = self._package_access.packages, self._host(asked)
        fullname(asked["type"], asked["id"])
        states = await packages.dependencies(
            host, asked["type"], asked["id"], asked.text("release")
        )
        return json_reply(
            {"host": host, "dependencies": [dependency_json(state) for state in states]}
        )

    async def upload(self, asked: Asked) -> Reply:
        """What was in it."""
        packages = self._package_access.packages
        with upload_of(asked.call).taken() as path:
            ref = await packages.upload(path)
        made = json_reply(
            {"fullname": ref.fullname, "type": ref.type, "id": ref.id, "release": ref.release}, 201
        )
        where = ("Location", f"{PACKAGES}/{ref.fullname}")
        return attrs.evolve(made, headers=(*made.headers, where))

    def _verb(self, act: Act, takes_time: bool) -> Callable[[Asked], Awaitable[Reply]]:
        async def do(asked: Asked) -> Reply:
            packages, host = self._package_access.packages, self._host(asked)
            subject = fullname(asked["type"], asked["id"])
            if host != packages.host:
                subject += f"@{host}"

            def done(result: object) -> Reply:
                return json_reply(_after(packages, host, asked, result))

            if not takes_time:
                return done(await act(packages, host, asked))
            all_hosts = self._package_access.all_hosts
            patience = (
                Patience(self._clock, all_hosts.patience_s) if host != all_hosts.host else None
            )
            return await carried_out(
                asked, packages, subject, lambda: act(packages, host, asked), done, patience
            )

        return do

    def _host(self, asked: Asked) -> str:
        return asked.text("host") or self._package_access.packages.host


def _after(packages: IPackages, host: str, asked: Asked, result: object) -> dict[str, Any]:
    """The package as it is now; another host may not have told yet what it was told to do."""
    type, id = asked["type"], asked["id"]
    release = result.release if isinstance(result, PackageRef) else None
    for package in packages.installed(host, type):
        if package.ref.id == id and release in (None, package.ref.release):
            return package_json(package)
    return absent_json(type, id, host, release)
