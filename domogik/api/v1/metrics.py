"""`/metrics`: figures for Prometheus, taken when they are asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import attrs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from domogik.api.http.counting import Requests
from domogik.api.http.exchange import Call, Reply
from domogik.api.v1.served import Served
from domogik.components.health import Result
from domogik.components.model import State
from domogik.manager.interfaces import IAllHosts
from domogik.manager.operations.shape import TEXT
from domogik.manager.operations.table import Operation, Order

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: figures of other rooms: a name such as `xpl_received` -> how many since the start
Counters = Callable[[], Mapping[str, float]]
#: those among them that say how it is, and not how often something happened
_GAUGES = {
    "hub_clients": "Programs that the hub forwards to",
    "hub_receive_buffer_bytes": "The hub's receive buffer, as the system gave it",
}


def no_counters() -> Mapping[str, float]:
    """Return no counters."""
    return {}


@attrs.define(eq=False)
class _AllHosts(Collector):
    """What Prometheus' registry asks at each look."""

    _all_hosts: IAllHosts
    _requests: Requests
    _counters: Counters

    def collect(self) -> Iterator[Metric]:
        yield from self._components()
        requests = CounterMetricFamily(
            "domogik_http_requests", "Requests answered", labels=["method", "status"]
        )
        for (method, status), count in sorted(self._requests.answered.items()):
            requests.add_metric([method, str(status)], count)
        yield requests
        hosts = GaugeMetricFamily(
            "domogik_host_up", "Hosts whose manager is heard", labels=["host"]
        )
        for host in self._all_hosts.hosts():
            hosts.add_metric([host.id], float(host.on))
        yield hosts
        yield from self._issues()
        for name, value in sorted(self._counters().items()):
            safe = re.sub(r"\W", "_", name, flags=re.ASCII)
            if name in _GAUGES:
                yield GaugeMetricFamily(f"domogik_{safe}", _GAUGES[name], value=value)
                continue
            yield CounterMetricFamily(f"domogik_{safe}", f"{name} since the start", value=value)

    def _issues(self) -> Iterator[Metric]:
        if self._all_hosts.health is None:
            return
        issues = GaugeMetricFamily(
            "domogik_issues", "Open issues by how their check came out", labels=["result"]
        )
        count = Counter(issue.check.result for issue in self._all_hosts.health.issues())
        for result in Result:
            if result.is_issue:
                issues.add_metric([result.value], count[result])
        yield issues

    def _components(self) -> Iterator[Metric]:
        components = self._all_hosts.components()
        states = GaugeMetricFamily("domogik_components", "Components by state", labels=["state"])
        count = Counter(component.state for component in components)
        for state in State:
            states.add_metric([state.value], count[state])
        yield states
        labels = ["component", "host"]
        up = GaugeMetricFamily("domogik_component_up", "1 while alive or running", labels=labels)
        restarts = CounterMetricFamily(
            "domogik_component_restarts", "Restarts after a failure", labels=labels
        )
        memory = GaugeMetricFamily(
            "domogik_component_memory_bytes", "Resident memory", labels=labels
        )
        cpu = GaugeMetricFamily(
            "domogik_component_cpu_percent", "Percent of one core", labels=labels
        )
        for component in components:
            label = [str(component.id), component.host]
            up.add_metric(label, float(component.state.is_on))
            restarts.add_metric(label, component.restarts)
            if component.usage is not None:
                memory.add_metric(label, component.usage.memory_bytes)
                cpu.add_metric(label, component.usage.cpu_percent)
        yield from (up, restarts, memory, cpu)


METRICS = Operation("metrics", "GET /metrics", TEXT, "Figures for Prometheus", "getMetrics")


def metrics(all_hosts: IAllHosts, requests: Requests, counters: Counters = no_counters) -> Served:
    """One path, outside `/api/v1`, where Prometheus looks for it."""
    # a registry of our own: the global one holds figures of the process
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_AllHosts(all_hosts, requests, counters))

    async def get(call: Call, order: Order) -> Reply:
        body = generate_latest(registry)
        return Reply(200, body, CONTENT_TYPE, (("Cache-Control", "no-store"),))

    return Served(METRICS, get, {"text/plain": TEXT.schema})
