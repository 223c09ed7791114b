"""What operations answer, as JSON has it: one record for each kind of value."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from domogik.components.health import DiagnosticCheck, Result
from domogik.components.model import Kind, State
from domogik.manager.jobs import JobState
from domogik.manager.operations.shape import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    OBJECT,
    TEXT,
    TEXT_OF,
    TEXTS_BY_NAME,
    TIME,
    WHOLE,
    Shape,
    listed,
    maybe,
    named,
    record,
    word_of,
)
from domogik.packages.descriptor.reference import TYPES
from domogik.packages.repositories.index import Offer, fits

# Components and hosts

USAGE = record(
    "Usage", cpu_percent=NUMBER, memory_bytes=INTEGER, open_files=INTEGER, processes=INTEGER
)
_KIND = Shape({"type": "string", "enum": [one.value for one in Kind.all()]})
COMPONENT_FIELDS: dict[str, Shape] = {
    "id": TEXT_OF,
    "kind": Shape({"type": "string", "enum": [one.value for one in Kind.all()]}).of(
        "id.kind.value"
    ),
    "name": TEXT,
    "host": TEXT,
    "state": word_of(State),
    "enabled": maybe(BOOLEAN),
    "reason": TEXT,
    "pid": maybe(INTEGER),
    "since": TIME,
    "restarts": INTEGER,
    "technology": TEXT,
    "version": TEXT,
    "description": TEXT,
    "documentation": TEXT,
    "usage": maybe(USAGE),
}
COMPONENT = record("Component", **COMPONENT_FIELDS)
#: a component with sentences about what it lacks
CHANGED_COMPONENT = record(
    "ChangedComponent",
    **{
        name: shape.of(f"component.{shape.path or name}")
        for name, shape in COMPONENT_FIELDS.items()
    },
    warnings=listed(TEXT),
)
COMPONENT_LIST = record("ComponentList", host=TEXT, components=listed(COMPONENT))
HOST = record(
    "Host", id=TEXT, on=BOOLEAN, primary=BOOLEAN, ip=TEXT, interval=NUMBER, last_seen=TIME
)
HOST_LIST = record("HostList", host=TEXT, hosts=listed(HOST))
LOG = record("Log", id=TEXT_OF, host=TEXT, lines=listed(TEXT))
KEY = record(
    "ConfigurationKey",
    key=TEXT,
    type=TEXT,
    description=TEXT,
    default=maybe(TEXT),
    options=listed(TEXT),
    interface=BOOLEAN,
    optional=BOOLEAN,
)
CONFIGURATION = record(
    "Configuration", id=TEXT_OF, host=TEXT, keys=listed(KEY), values=TEXTS_BY_NAME
)
UNIT_RULE = record("UnitRule", rule=TEXT)
CREDENTIALS = record("Credentials", id=TEXT_OF, host=TEXT, url=TEXT)
BACKUP = record("Backup", file=TEXT, size_bytes=INTEGER, written=TIME)
BACKUP_LIST = record("BackupList", backups=listed(BACKUP))
VALUE = record("Value", value=Shape({**TEXT.schema, "pattern": r"^[^\x00-\x1f]*$"}))
STORED_VALUE = record("StoredValue", key=TEXT, value=TEXT)
ACCEPTED = record("Accepted", accepted=BOOLEAN)
EVENT = record(id=INTEGER, time=TIME, type=TEXT, data=OBJECT)

# Health

SUGGESTION = record(
    "Suggestion", action=TEXT, sentence=TEXT, repairable=BOOLEAN.of("is_repairable")
)
#: a check has a JSON of its own, which is stored too
CHECK = attrs.evolve(
    record(
        "Check",
        __class__=TEXT,
        check_id=TEXT,
        description=TEXT,
        template=TEXT,
        result=word_of(Result),
        parameters=OBJECT,
        component_id=maybe(TEXT),
        suggestions=listed(SUGGESTION),
        finding=TEXT,
    ),
    encode=DiagnosticCheck.to_json,
)
CHECK_LIST = record("CheckList", id=TEXT_OF, host=TEXT, checks=listed(CHECK))
DIAGNOSIS = record("Diagnosis", host=TEXT, taken=TIME, checks=listed(CHECK))
ISSUE = record("Issue", id=TEXT, component=TEXT, opened=TIME, seen=TIME, check=CHECK)
ISSUE_LIST = record("IssueList", host=TEXT, issues=listed(ISSUE))
REPAIR = record("Repair", id=TEXT, closed=BOOLEAN, issue=maybe(ISSUE))
REPAIR_ORDER = named(
    "RepairOrder",
    {"type": "object", "properties": {"action": TEXT.schema}, "additionalProperties": False},
)

# Packages, repositories and jobs

TYPE = Shape({"type": "string", "enum": list(TYPES)})
_RELEASES = listed(Shape(TEXT.schema, lambda offer: offer.package.release))
PACKAGE = record(
    "Package",
    fullname=TEXT.of("ref.fullname"),
    type=TYPE.of("ref.type"),
    id=TEXT.of("ref.id"),
    host=TEXT,
    release=maybe(TEXT).of("ref.release"),
    enabled=BOOLEAN,
    held=BOOLEAN,
    releases=listed(TEXT),
    updates=_RELEASES,
    given_up=listed(TEXT),
    warnings=listed(TEXT),
)
PACKAGE_LIST = record("PackageList", host=TEXT, packages=listed(PACKAGE))


def _path(face: str) -> Callable[[Offer], str]:
    """A path of this server; none of the three words needs quoting: see `PackageRef`."""
    return lambda offer: (
        f"/package/{face}/{offer.package.type}/{offer.package.id}/{offer.package.release}"
    )


_ARCHIVE, _ICON = _path("download"), _path("icon/available")
OFFER = record(
    "Offer",
    fullname=TEXT.of("package.full_name"),
    type=TYPE.of("package.type"),
    id=TEXT.of("package.id"),
    release=TEXT.of("package.release"),
    fits=Shape(BOOLEAN.schema, fits, "package"),
    technology=TEXT.of("package.technology"),
    description=TEXT.of("package.description"),
    documentation=TEXT.of("package.documentation"),
    changelog=TEXT.of("package.changelog"),
    author=TEXT.of("package.author"),
    author_email=TEXT.of("package.author_email"),
    min_version=TEXT.of("package.min_version"),
    generated=TEXT.of("package.generated"),
    dependencies=listed(record(id=TEXT, type=TEXT)).of("package.dependencies"),
    repository=TEXT.of("source.url"),
    priority=INTEGER.of("source.priority"),
    signed=BOOLEAN,
    sha256=maybe(TEXT),
    size=maybe(INTEGER),
    archive=Shape(TEXT.schema, _ARCHIVE, WHOLE),
    icon=Shape(maybe(TEXT).schema, lambda offer: offer.icon and _ICON(offer), WHOLE),
)
OFFER_LIST = record("OfferList", host=TEXT, offers=listed(OFFER))
PACKAGE_DETAIL = record(
    "PackageDetail",
    fullname=TEXT,
    type=TYPE,
    id=TEXT,
    installed=listed(PACKAGE),
    offers=listed(OFFER),
)
DEPENDENCY = record(
    "Dependency",
    type=TEXT.of("kind"),
    dependency=TEXT,
    installed=BOOLEAN,
    release=TEXT,
    candidate=TEXT,
    command=TEXT.of("cmd_line"),
    error=TEXT,
    reason=TEXT,
)
DEPENDENCY_LIST = record("DependencyList", host=TEXT, dependencies=listed(DEPENDENCY))
UPLOADED = record("Uploaded", fullname=TEXT, type=TYPE, id=TEXT, release=TEXT)
REPOSITORY = record(
    "Repository",
    url=TEXT,
    priority=INTEGER,
    as_of=TIME,
    packages=INTEGER,
    error=TEXT,
    signed=BOOLEAN,
    expires=TIME,
)
REPOSITORY_LIST = record("RepositoryList", repositories=listed(REPOSITORY))
JOB = record(
    "Job",
    id=INTEGER,
    kind=TEXT,
    subject=TEXT,
    state=word_of(JobState),
    stage=TEXT,
    percent=maybe(NUMBER),
    error=TEXT,
    created=TIME,
    started=TIME,
    ended=TIME,
)
JOB_LIST = record("JobList", jobs=listed(JOB))
