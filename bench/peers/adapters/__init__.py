"""The supervisors that are known, and how to name another."""

from __future__ import annotations

import importlib

from bench.peers.adapters.base import Adapter, Options, StatusQuery
from bench.peers.adapters.baseline import PopenAdapter, ProcmonAdapter, SpawnAdapter
from bench.peers.adapters.circusd import CircusAdapter
from bench.peers.adapters.domogik import DomogikAdapter
from bench.peers.adapters.scandir import RunitAdapter, S6Adapter
from bench.peers.adapters.supervisord import SupervisordAdapter

__all__ = ["Adapter", "Options", "StatusQuery", "find"]

KNOWN: dict[str, type[Adapter]] = {
    cls.name: cls
    for cls in (
        DomogikAdapter,
        PopenAdapter,
        SpawnAdapter,
        ProcmonAdapter,
        SupervisordAdapter,
        CircusAdapter,
        RunitAdapter,
        S6Adapter,
    )
}


def find(spec: str) -> tuple[type[Adapter], str]:
    """'supervisord', 'circusd:fast' or 'some.module/ClassName:variant'."""
    name, _, variant = spec.partition(":")
    if "/" in name:
        module, _, attribute = name.partition("/")
        return getattr(importlib.import_module(module), attribute), variant or "default"
    return KNOWN[name], variant or "default"
