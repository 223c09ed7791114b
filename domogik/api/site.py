"""REST, put together: everything that answers HTTP, given a house."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.interfaces import IReactorTime

from domogik.api.access import Access
from domogik.api.http.listening import BadCertificate, PortTaken, listen
from domogik.api.http.root import Root
from domogik.api.http.streams import Streams
from domogik.api.http.uploads import Uploads
from domogik.api.http.wire import Site
from domogik.api.package_access import Storeroom
from domogik.api.rinor.diagnose import DiagnosePaths
from domogik.api.rinor.domoweb import DomowebPaths
from domogik.api.rinor.events import EventPaths
from domogik.api.rinor.host import HostPaths
from domogik.api.rinor.kinds import daemon_paths, unit_paths
from domogik.api.rinor.package import PackagePaths
from domogik.api.rinor.paths import Rinor
from domogik.api.rinor.plugin import PluginPaths
from domogik.api.rinor.plugin_config import PluginConfigPaths
from domogik.api.rinor.status import StatusDocument
from domogik.api.v1.components import ComponentRoutes
from domogik.api.v1.configuration import ConfigurationRoutes
from domogik.api.v1.daemons import DaemonRoutes
from domogik.api.v1.face import V1
from domogik.api.v1.feed import FeedRoutes
from domogik.api.v1.health import HealthRoutes
from domogik.api.v1.jobs import JobRoutes
from domogik.api.v1.logs import LogRoutes
from domogik.api.v1.metrics import Counters, MetricsRoutes, Requests, no_counters
from domogik.api.v1.packages import PackageRoutes
from domogik.api.v1.repositories import RepositoryRoutes
from domogik.api.v1.units import UnitRoutes
from domogik.manager.interfaces import IHouse
from domogik.manager.packages.interfaces import IPackages

__all__ = ["BadCertificate", "PortTaken", "Site", "listen", "make_site"]


def make_site(
    house: IHouse,
    access: Access,
    *,
    reactor: IReactorTime,
    version: str,
    use_ssl: bool = False,
    counters: Counters = no_counters,
    packages: IPackages | None = None,
    uploads: Path | None = None,
) -> Site:
    """Both faces over one house. `counters` gives figures of other rooms to `/metrics`.

    `packages` is None where no manager runs in this process. `uploads` is the directory where
    archives that are being uploaded lie, by default the system's for temporary files.

    When the site's last port is closed, open streams end and waiting questions are answered.
    """
    storeroom = Storeroom(house, packages)
    streams = Streams(reactor)
    requests = Requests()
    events = EventPaths(reactor, house.events)
    package_paths, package_routes = (
        PackagePaths(reactor, storeroom),
        PackageRoutes(reactor, storeroom),
    )
    groups = (
        PluginPaths(reactor, house),
        PluginConfigPaths(house),
        daemon_paths(house),
        unit_paths(house),
        DiagnosePaths(reactor, house),
        HostPaths(house),
        DomowebPaths(),
        package_paths,
        events,
    )
    rinor = Rinor(
        StatusDocument(house, events, version, use_ssl).show,
        tuple(operation for group in groups for operation in group.operations()),
    )
    parts = (
        ComponentRoutes(reactor, house, storeroom),
        DaemonRoutes(house, storeroom),
        UnitRoutes(house),
        HealthRoutes(reactor, house),
        ConfigurationRoutes(house),
        LogRoutes(house, streams),
        package_routes,
        RepositoryRoutes(storeroom),
        JobRoutes(storeroom),
        FeedRoutes(house.events, streams),
        MetricsRoutes(house, requests, counters),
    )
    v1 = V1(tuple(route for part in parts for route in part.routes()), version)

    def stop() -> None:
        for part in (events, streams, package_paths, package_routes):
            part.stop()

    root = Root(access, rinor, v1)
    return Site(root, requests, Uploads(access, uploads), access, reactor, stop)
