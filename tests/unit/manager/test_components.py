"""The one list: in order, and what changes is told."""

import attrs
import pytest

from domogik.components.events import EventStream
from domogik.components.model import Component, ComponentId, State
from domogik.errors import AmbiguousComponent, UnknownComponent
from domogik.manager.components import ComponentList, find


def component(text, **fields):
    return Component(ComponentId.parse(text), "vm", **fields)


@pytest.fixture
def events():
    return EventStream(lambda: 1000.0)


def test_what_comes_changes_and_goes_is_told_with_all_a_listener_needs(events):
    components = ComponentList(events)
    components.put(component("plugin:clock", state=State.STOPPED, enabled=True))
    components.put(component("plugin:clock", state=State.FAILED, enabled=True, reason="broke"))
    components.remove(ComponentId.parse("plugin:clock"))
    assert [(event.type, dict(event.data)) for event in events.since(0)] == [
        ("component.added", {"id": "plugin:clock", "host": "vm", "state": "stopped"}),
        (
            "component.changed",
            {
                "id": "plugin:clock",
                "host": "vm",
                "state": "failed",
                "previous": "stopped",
                "enabled": True,
                "reason": "broke",
            },
        ),
        ("component.removed", {"id": "plugin:clock", "host": "vm"}),
    ]


def test_what_is_as_before_is_not_told(events):
    components = ComponentList(events)
    for _ in range(3):
        components.put(component("plugin:clock"))
    components.remove(ComponentId.parse("plugin:ghost"))
    assert events.last_id == 1


def test_the_order_is_by_kind_then_by_name(events):
    components = ComponentList(events)
    for text in ("external:a-b.c", "plugin:zoo", "core:rest", "plugin:ant", "core:hub"):
        components.put(component(text))
    assert [str(entry.id) for entry in components.all()] == [
        "core:hub",
        "core:rest",
        "plugin:ant",
        "plugin:zoo",
        "external:a-b.c",
    ]


def test_a_name_is_an_id_or_bare_and_an_id_is_meant_first():
    here = [component("plugin:rest"), component("plugin:clock")]
    assert find(here, "clock", "vm") is here[1]
    assert find(here, "plugin:rest", "vm") is here[0]
    with pytest.raises(UnknownComponent, match="Component ghost doesn't exists on vm"):
        find(here, "ghost", "vm")
    with pytest.raises(AmbiguousComponent, match="'rest' may be any of core:rest, plugin:rest"):
        find([*here, component("core:rest")], "rest", "vm")


def test_a_remark_stands_where_a_component_says_nothing_itself():
    components = ComponentList(EventStream(lambda: 0.0))
    lamp = Component(ComponentId.parse("plugin:lamp"), "vm", State.ALIVE)
    components.put(lamp)
    components.remark({"plugin:lamp": "its section is refused"}, "vm")
    assert components.get(lamp.id).reason == "its section is refused"
    components.put(attrs.evolve(lamp, state=State.FAILED, reason="it ended"))
    assert components.get(lamp.id).reason == "it ended"
    components.put(lamp)
    components.remark({"plugin:lamp": "otherwise"}, "vm")
    assert components.get(lamp.id).reason == "otherwise"
    components.remark({}, "vm")
    assert components.get(lamp.id) == lamp


def test_a_daemon_whose_section_is_refused_is_listed_as_failed_until_it_is_there():
    components = ComponentList(EventStream(lambda: 0.0))
    cache = ComponentId.parse("daemon:cache")
    components.remark({"daemon:cache": "cfg:3: no such kind", "plugin:ghost": "cfg:9"}, "vm")
    assert [(one.id, one.state, one.reason) for one in components.all()] == [
        (cache, State.FAILED, "cfg:3: no such kind")
    ]
    components.remark({}, "vm")
    assert components.all() == ()
    components.remark({"daemon:cache": "cfg:3: no such kind"}, "vm")
    components.put(Component(cache, "vm", State.STARTING))
    components.remark({}, "vm")
    assert components.get(cache).state is State.STARTING
