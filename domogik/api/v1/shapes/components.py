"""How do our values look in JSON? Each shape stands beside the schema that describes it."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs

from domogik.api.v1.routes import Schema
from domogik.components.events import Event
from domogik.components.model import Backup, Component, ConfigurationKey, HostInfo, Kind, State

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
TIME: Schema = {"type": ["string", "null"], "format": "date-time"}


def record(**properties: Schema) -> Schema:
    """An object that has all of these, always, and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def listed(items: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": items}


def named(name: str) -> Schema:
    """One of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


_COMPONENT: dict[str, Schema] = {
    "id": TEXT,
    "kind": {"type": "string", "enum": [kind.value for kind in Kind.all()]},
    "name": TEXT,
    "host": TEXT,
    "state": {"type": "string", "enum": [state.value for state in State]},
    "enabled": {"type": ["boolean", "null"]},
    "reason": TEXT,
    "pid": {"type": ["integer", "null"]},
    "since": TIME,
    "restarts": INTEGER,
    "technology": TEXT,
    "version": TEXT,
    "description": TEXT,
    "documentation": TEXT,
    "usage": {"oneOf": [named("Usage"), {"type": "null"}]},
}

SCHEMAS: dict[str, Schema] = {
    "Component": record(**_COMPONENT),
    "ChangedComponent": record(**_COMPONENT, warnings=listed(TEXT)),
    "Usage": record(
        cpu_percent=NUMBER, memory_bytes=INTEGER, open_files=INTEGER, processes=INTEGER
    ),
    "ComponentList": record(host=TEXT, components=listed(named("Component"))),
    "Host": record(id=TEXT, on=BOOLEAN, primary=BOOLEAN, ip=TEXT, interval=NUMBER, last_seen=TIME),
    "HostList": record(host=TEXT, hosts=listed(named("Host"))),
    "Log": record(id=TEXT, host=TEXT, lines=listed(TEXT)),
    "ConfigurationKey": record(
        key=TEXT,
        type=TEXT,
        description=TEXT,
        default={"type": ["string", "null"]},
        options=listed(TEXT),
        interface=BOOLEAN,
        optional=BOOLEAN,
    ),
    "Configuration": record(
        id=TEXT,
        host=TEXT,
        keys=listed(named("ConfigurationKey")),
        values={"type": "object", "additionalProperties": {"type": "string"}},
    ),
    "UnitRule": record(rule=TEXT),
    "Credentials": record(id=TEXT, host=TEXT, url=TEXT),
    "Backup": record(file=TEXT, size_bytes=INTEGER, written=TIME),
    "BackupList": record(backups=listed(named("Backup"))),
    "Value": record(value={**TEXT, "pattern": r"^[^\x00-\x1f]*$"}),
    "StoredValue": record(key=TEXT, value=TEXT),
    "Accepted": record(accepted=BOOLEAN),
    "Problem": {
        "type": "object",
        "properties": {
            "type": TEXT,
            "title": TEXT,
            "status": INTEGER,
            "detail": TEXT,
            "candidates": listed(TEXT),
        },
        "required": ["type", "title", "status", "detail"],
    },
}


def iso_time(seconds: float) -> str | None:
    """Unix time as ISO 8601 in UTC; 0 is no time."""
    if seconds <= 0:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def component_json(component: Component) -> dict[str, object]:
    """`Component`."""
    return {
        "id": str(component.id),
        "kind": component.id.kind.value,
        "name": component.name,
        "host": component.host,
        "state": component.state.value,
        "enabled": component.enabled,
        "reason": component.reason,
        "pid": component.pid,
        "since": iso_time(component.since),
        "restarts": component.restarts,
        "technology": component.technology,
        "version": component.version,
        "description": component.description,
        "documentation": component.documentation,
        "usage": None if component.usage is None else attrs.asdict(component.usage),
    }


def host_json(host: HostInfo) -> dict[str, object]:
    """`Host`."""
    return {**attrs.asdict(host), "last_seen": iso_time(host.last_seen)}


def key_json(key: ConfigurationKey) -> dict[str, object]:
    """`ConfigurationKey`."""
    shape = attrs.asdict(key)
    del shape["id"]  # the place in the list says it
    return {**shape, "options": list(key.options)}


def backup_json(backup: Backup) -> dict[str, object]:
    """`Backup`."""
    return {**attrs.asdict(backup), "written": iso_time(backup.written)}


def event_json(event: Event) -> dict[str, object]:
    """What stands in `data:` of an event."""
    return {
        "id": event.id,
        "time": iso_time(event.time),
        "type": event.type,
        "data": dict(event.data),
    }
