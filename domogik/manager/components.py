"""The component list: every component of this host with its current state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from domogik.components.events import EventStream
from domogik.components.model import Component, ComponentId, InvalidId, Kind, State
from domogik.errors import AmbiguousComponent, UnknownComponent


@attrs.define(eq=False)
class ComponentList:
    """The components by id; a change is published as an event, a repetition is not."""

    _events: EventStream
    _entries: dict[ComponentId, Component] = attrs.field(factory=dict)
    _remarks: Mapping[str, str] = attrs.field(init=False, factory=dict)
    #: components that there would be, were it not for their remark
    _missing: set[ComponentId] = attrs.field(init=False, factory=set)

    def all(self) -> tuple[Component, ...]:
        """Return all components, sorted by kind, then name."""
        place = {kind: number for number, kind in enumerate(Kind.all())}
        return tuple(
            sorted(self._entries.values(), key=lambda entry: (place[entry.id.kind], entry.id.name))
        )

    def ids(self, kind: Kind) -> tuple[str, ...]:
        """Return the ids of the components of one kind, in no particular order."""
        return tuple(str(one) for one in self._entries if one.kind is kind)

    def get(self, component_id: ComponentId) -> Component | None:
        """Return the component with that id, None if there is none."""
        return self._entries.get(component_id)

    def put(self, component: Component) -> None:
        """Add or replace the component."""
        self._missing.discard(component.id)
        self._put(component)

    def remark(self, remarks: Mapping[str, str], host: str) -> None:
        """Component id -> what is to be said of it where it says nothing itself, such as why its
        section is refused; what is declared by a section of its own is then listed all the same.
        """
        before, self._remarks = self._remarks, remarks
        for id in {*before, *remarks}:
            try:
                component_id = ComponentId.parse(id)
            except InvalidId:
                continue
            entry = self._entries.get(component_id)
            if id not in remarks and component_id in self._missing:
                self._missing.discard(component_id)
                self.remove(component_id)
            elif entry is not None:
                said = entry.reason == before.get(id)
                self._put(attrs.evolve(entry, reason="") if said else entry)
            elif component_id.kind.has_own_list:
                self._missing.add(component_id)
                self._put(Component(component_id, host, State.FAILED))

    def remark_of(self, component_id: str) -> str:
        """Return the sentence that `remark` set for that component, or an empty text."""
        return self._remarks.get(component_id, "")

    def _put(self, component: Component) -> None:
        remark = "" if component.reason else self.remark_of(str(component.id))
        component = attrs.evolve(component, reason=remark) if remark else component
        previous = self._entries.get(component.id)
        if previous == component:
            return
        self._entries[component.id] = component
        if previous is None:
            self._events.publish(
                "component.added",
                id=str(component.id),
                host=component.host,
                state=component.state.value,
            )
            return
        self._events.publish(
            "component.changed",
            id=str(component.id),
            host=component.host,
            state=component.state.value,
            previous=previous.state.value,
            enabled=component.enabled,
            reason=component.reason,
        )

    def remove(self, component_id: ComponentId) -> None:
        """Remove the component, if it is listed."""
        component = self._entries.pop(component_id, None)
        if component is not None:
            self._events.publish("component.removed", id=str(component_id), host=component.host)


def find(components: Iterable[Component], name: str, host: str) -> Component:
    """Return the component that `name`, an id or a bare name, means.

    Raises `UnknownComponent`, or `AmbiguousComponent` if several kinds have a component with that
    bare name.
    """
    components = tuple(components)
    found = [entry for entry in components if name in (str(entry.id), entry.id.name)]
    exact = [entry for entry in found if str(entry.id) == name]
    if exact:
        return exact[0]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnknownComponent.named(name, host, (str(entry.id) for entry in components))
    raise AmbiguousComponent(name, tuple(sorted(str(entry.id) for entry in found)))
