"""How do packages, repositories and jobs look in JSON? Each shape beside its schema."""

from __future__ import annotations

from domogik.api.v1.routes import Schema
from domogik.api.v1.shapes.components import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    TIME,
    iso_time,
    listed,
    named,
    record,
)
from domogik.manager.jobs import Job, JobState
from domogik.manager.packages.interfaces import InstalledPackage, RepositoryInfo
from domogik.packages.descriptor.reference import TYPES
from domogik.packages.needs.dependencies import DependencyState
from domogik.packages.repositories.index import Offer, fits

TYPE: Schema = {"type": "string", "enum": list(TYPES)}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}

PACKAGE_SCHEMAS: dict[str, Schema] = {
    "Package": record(
        fullname=TEXT,
        type=TYPE,
        id=TEXT,
        host=TEXT,
        release=_MAYBE_TEXT,
        enabled=BOOLEAN,
        held=BOOLEAN,
        releases=listed(TEXT),
        updates=listed(TEXT),
        given_up=listed(TEXT),
        warnings=listed(TEXT),
    ),
    "PackageList": record(host=TEXT, packages=listed(named("Package"))),
    "Offer": record(
        fullname=TEXT,
        type=TYPE,
        id=TEXT,
        release=TEXT,
        fits=BOOLEAN,
        technology=TEXT,
        description=TEXT,
        documentation=TEXT,
        changelog=TEXT,
        author=TEXT,
        author_email=TEXT,
        min_version=TEXT,
        generated=TEXT,
        dependencies=listed(record(id=TEXT, type=TEXT)),
        repository=TEXT,
        priority=INTEGER,
        signed=BOOLEAN,
        sha256=_MAYBE_TEXT,
        size={"type": ["integer", "null"]},
        archive=TEXT,
        icon=_MAYBE_TEXT,
    ),
    "OfferList": record(host=TEXT, offers=listed(named("Offer"))),
    "PackageDetail": record(
        fullname=TEXT,
        type=TYPE,
        id=TEXT,
        installed=listed(named("Package")),
        offers=listed(named("Offer")),
    ),
    "Dependency": record(
        type=TEXT,
        dependency=TEXT,
        installed=BOOLEAN,
        release=TEXT,
        candidate=TEXT,
        command=TEXT,
        error=TEXT,
        reason=TEXT,
    ),
    "DependencyList": record(host=TEXT, dependencies=listed(named("Dependency"))),
    "Uploaded": record(fullname=TEXT, type=TYPE, id=TEXT, release=TEXT),
    "Repository": record(
        url=TEXT,
        priority=INTEGER,
        as_of=TIME,
        packages=INTEGER,
        error=TEXT,
        signed=BOOLEAN,
        expires=TIME,
    ),
    "RepositoryList": record(repositories=listed(named("Repository"))),
    "Job": record(
        id=INTEGER,
        kind=TEXT,
        subject=TEXT,
        state={"type": "string", "enum": [state.value for state in JobState]},
        stage=TEXT,
        percent={**NUMBER, "type": ["number", "null"]},
        error=TEXT,
        created=TIME,
        started=TIME,
        ended=TIME,
    ),
    "JobList": record(jobs=listed(named("Job"))),
}


def package_json(package: InstalledPackage) -> dict[str, object]:
    """`Package`."""
    ref = package.ref
    return {
        "fullname": ref.fullname,
        "type": ref.type,
        "id": ref.id,
        "host": package.host,
        "release": ref.release,
        "enabled": package.enabled,
        "held": package.held,
        "releases": list(package.releases),
        "updates": [offer.package.release for offer in package.updates],
        "given_up": list(package.given_up),
        "warnings": list(package.warnings),
    }


def absent_json(type: str, id: str, host: str, release: str | None = None) -> dict[str, object]:
    """`Package` of one that is not there, or of which the host has not told yet."""
    return {
        "fullname": f"{type}-{id}",
        "type": type,
        "id": id,
        "host": host,
        "release": release,
        "enabled": False,
        "held": False,
        "releases": [],
        "updates": [],
        "given_up": [],
        "warnings": [],
    }


def offer_json(offer: Offer) -> dict[str, object]:
    """`Offer`; `archive` and `icon` are paths of this server."""
    package = offer.package
    # none of the three needs quoting: see `PackageRef`
    where = f"{package.type}/{package.id}/{package.release}"
    return {
        "fullname": package.full_name,
        "type": package.type,
        "id": package.id,
        "release": package.release,
        "fits": fits(package),
        "technology": package.technology,
        "description": package.description,
        "documentation": package.documentation,
        "changelog": package.changelog,
        "author": package.author,
        "author_email": package.author_email,
        "min_version": package.min_version,
        "generated": package.generated,
        "dependencies": [{"id": one.id, "type": one.type} for one in package.dependencies],
        "repository": offer.source.url,
        "priority": offer.source.priority,
        "signed": offer.signed,
        "sha256": offer.sha256,
        "size": offer.size,
        "archive": f"/package/download/{where}",
        "icon": None if offer.icon is None else f"/package/icon/available/{where}",
    }


def dependency_json(state: DependencyState) -> dict[str, object]:
    """`Dependency`."""
    return {
        "type": state.kind,
        "dependency": state.dependency,
        "installed": state.installed,
        "release": state.release,
        "candidate": state.candidate,
        "command": state.cmd_line,
        "error": state.error,
        "reason": state.reason,
    }


def repository_json(repository: RepositoryInfo) -> dict[str, object]:
    """`Repository`."""
    return {
        "url": repository.url,
        "priority": repository.priority,
        "as_of": iso_time(repository.as_of or 0.0),
        "packages": repository.packages,
        "error": repository.error,
        "signed": repository.signed,
        "expires": iso_time(repository.expires or 0.0),
    }


def job_json(job: Job) -> dict[str, object]:
    """`Job`."""
    return {
        "id": job.id,
        "kind": job.kind,
        "subject": job.subject,
        "state": job.state.value,
        "stage": job.stage,
        "percent": job.percent,
        "error": job.error,
        "created": iso_time(job.created),
        "started": iso_time(job.started),
        "ended": iso_time(job.ended),
    }
