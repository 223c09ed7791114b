"""REST, put together: everything that answers HTTP, given a house."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from domogik.api.access import Access
from domogik.api.events import EventPaths
from domogik.api.host import HostPaths
from domogik.api.listening import BadCertificate, PortTaken, listen
from domogik.api.package import PackagePaths
from domogik.api.plugin import PluginPaths
from domogik.api.plugin_config import PluginConfigPaths
from domogik.api.rinor import Rinor
from domogik.api.root import Root
from domogik.api.status import StatusDocument
from domogik.api.streams import Streams
from domogik.api.v1.components import ComponentRoutes
from domogik.api.v1.configuration import ConfigurationRoutes
from domogik.api.v1.face import V1
from domogik.api.v1.feed import FeedRoutes
from domogik.api.v1.logs import LogRoutes
from domogik.api.v1.metrics import Counters, MetricsRoutes, Requests, no_counters
from domogik.api.wire import Site
from domogik.manager.interfaces import IHouse

__all__ = ["BadCertificate", "PortTaken", "Site", "listen", "make_site"]


def make_site(
    house: IHouse,
    access: Access,
    *,
    reactor: IReactorTime,
    version: str,
    use_ssl: bool = False,
    counters: Counters = no_counters,
) -> Site:
    """Both faces over one house. `counters` gives figures of other rooms to `/metrics`.

    When the site's last port is closed, open streams end and waiting questions are answered.
    """
    streams = Streams(reactor)
    requests = Requests()
    events = EventPaths(reactor, house.events)
    groups = (
        PluginPaths(reactor, house),
        PluginConfigPaths(house),
        HostPaths(house),
        PackagePaths(house),
        events,
    )
    rinor = Rinor(
        StatusDocument(house, events, version, use_ssl).show,
        tuple(operation for group in groups for operation in group.operations()),
    )
    parts = (
        ComponentRoutes(house),
        ConfigurationRoutes(house),
        LogRoutes(house, streams),
        FeedRoutes(house.events, streams),
        MetricsRoutes(house, requests, counters),
    )
    v1 = V1(tuple(route for part in parts for route in part.routes()), version)

    def stop() -> None:
        events.stop()
        streams.stop()

    return Site(Root(access, rinor, v1), requests, reactor, stop)
