"""What can be asked about packages, repositories and jobs, and all that can be done with them."""

from __future__ import annotations

from typing import Any

from domogik.errors import (
    FetchFailed,
    NoAnswer,
    NotPossible,
    OperationFailed,
    UnknownComponent,
    did_you_mean,
)
from domogik.manager.jobs import Job
from domogik.manager.operations import answers
from domogik.manager.operations.components import check_host
from domogik.manager.operations.parameters import OF_HOST, Parameter, flag, matching
from domogik.manager.operations.table import PACKAGE, Context, PackageName, Where, operation
from domogik.manager.packages.interfaces import InstalledPackage
from domogik.packages.descriptor.reference import RELEASE, parse_fullname

_OF_TYPE = Parameter("type", "Only those of one type.", answers.TYPE.schema)
_RELEASE = Parameter("release", "Which one; by default the newest that fits.", matching(RELEASE))
_INSTALLED = Parameter("release", "By default what is installed.", matching(RELEASE))
_WITH_DATA = flag("with_data", "Its own data too.")
_WITH_DEPENDENCIES = flag(
    "with_dependencies", "What a plugin needs of Python too, into an environment of its own."
)
_AGAIN = flag("again", "Also a release that was given up here before.")
#: naming one, its state, a repository that fails, and another host that is silent
_ONE: dict[str, Any] = {
    "subject": PACKAGE,
    "errors": (UnknownComponent, OperationFailed, FetchFailed, NoAnswer),
}
_ORDER: dict[str, Any] = {**_ONE, "job": Where.HERE | Where.ELSEWHERE}


class UnknownJob(UnknownComponent):
    """No job of that number is remembered."""


@operation(
    "package.list",
    "GET /packages",
    answers.PACKAGE_LIST,
    identifier="listPackages",
    parameters=(OF_HOST, _OF_TYPE),
    errors=(UnknownComponent, NotPossible),
)
async def list_packages(context: Context, host: str | None, type: str | None) -> dict[str, Any]:
    """What is installed, on every host."""
    found = context.packages.installed(host, type)
    if not found:
        check_host(context.all_hosts, host)
    return {"host": context.packages.host, "packages": found}


@operation(
    "package.offers",
    "GET /packages/offers",
    answers.OFFER_LIST,
    identifier="listOffers",
    parameters=(_OF_TYPE,),
    errors=(NotPossible,),
)
async def offers(context: Context, type: str | None) -> dict[str, Any]:
    """What the repositories offer, every release, the newest of each package first."""
    return {"host": context.packages.host, "offers": context.packages.offers(type)}


@operation(
    "package.get",
    "GET /packages/{fullname}",
    answers.PACKAGE_DETAIL,
    errors=(UnknownComponent, NotPossible),
)
async def get(context: Context, fullname: str) -> dict[str, Any]:
    """One package: where it is installed, and which releases are offered.

    `fullname` is `<type>-<id>`, such as `plugin-diskfree`.
    """
    type, id = parse_fullname(fullname)
    packages = context.packages
    installed = [package for package in packages.installed(None, type) if package.ref.id == id]
    offered = [offer for offer in packages.offers(type) if offer.package.id == id]
    name = f"{type}-{id}"
    if not installed and not offered:
        there = {one.ref.id for one in packages.installed(None, type)}
        there.update(offer.package.id for offer in packages.offers(type))
        text = f"No package '{name}' is installed or offered."
        raise UnknownComponent(text + did_you_mean(id, sorted(there)))
    return {"fullname": name, "type": type, "id": id, "installed": installed, "offers": offered}


@operation(
    "package.dependencies",
    "GET /packages/{type}/{id}/dependencies",
    answers.DEPENDENCY_LIST,
    identifier="getDependencies",
    parameters=(_INSTALLED,),
    **_ONE,
)
async def dependencies(context: Context, package: PackageName, release: str | None) -> Any:
    """What it needs, and whether the host has it."""
    states = await context.packages.dependencies(package.host, package.type, package.id, release)
    return {"host": package.host, "dependencies": states}


def _after(
    context: Context, package: PackageName, release: str | None = None
) -> InstalledPackage | dict[str, Any]:
    """The package as it is now; another host may not have told yet what it was told to do."""
    for one in context.packages.installed(package.host, package.type):
        if one.ref.id == package.id and release in (None, one.ref.release):
            return one
    return {
        "fullname": f"{package.type}-{package.id}",
        "type": package.type,
        "id": package.id,
        "host": package.host,
        "release": release,
        "enabled": False,
        "held": False,
        "releases": (),
        "updates": (),
        "given_up": (),
        "warnings": (),
    }


@operation(
    "package.install",
    "POST /packages/{type}/{id}/install",
    answers.PACKAGE,
    parameters=(_RELEASE, _WITH_DEPENDENCIES),
    **_ORDER,
)
async def install(
    context: Context, package: PackageName, release: str | None, with_dependencies: bool
) -> Any:
    """Install it; answered once it is there."""
    ref = await context.packages.install(
        package.host, package.type, package.id, release, with_dependencies=with_dependencies
    )
    return _after(context, package, ref.release)


@operation(
    "package.update",
    "POST /packages/{type}/{id}/update",
    answers.PACKAGE,
    parameters=(_RELEASE, _AGAIN),
    **_ORDER,
)
async def update(context: Context, package: PackageName, release: str | None, again: bool) -> Any:
    """Stop it, put the newer release in its place, start it, watch it; if that fails, all back."""
    ref = await context.packages.update(
        package.host, package.type, package.id, release, again=again
    )
    return _after(context, package, ref.release)


@operation("package.rollback", "POST /packages/{type}/{id}/rollback", answers.PACKAGE, **_ORDER)
async def rollback(context: Context, package: PackageName) -> Any:
    """Back to the release that was there before."""
    ref = await context.packages.rollback(package.host, package.type, package.id)
    return _after(context, package, ref.release)


@operation(
    "package.uninstall",
    "POST /packages/{type}/{id}/uninstall",
    answers.PACKAGE,
    parameters=(_WITH_DATA,),
    commands={"dmg_pkgmgr uninstall": "remove everything that a package brought"},
    **_ORDER,
)
async def uninstall(context: Context, package: PackageName, with_data: bool) -> Any:
    """Remove everything that it brought."""
    await context.packages.uninstall(package.host, package.type, package.id, with_data=with_data)
    return _after(context, package)


@operation(
    "package.hold",
    "POST /packages/{type}/{id}/hold",
    answers.PACKAGE,
    commands={"dmg_pkgmgr hold": "have updates leave a package alone"},
    **_ONE,
)
async def hold(context: Context, package: PackageName) -> Any:
    """Have updates leave it alone."""
    await context.packages.hold(package.host, package.type, package.id, held=True)
    return _after(context, package)


@operation(
    "package.unhold",
    "POST /packages/{type}/{id}/unhold",
    answers.PACKAGE,
    commands={"dmg_pkgmgr unhold": ""},
    **_ONE,
)
async def unhold(context: Context, package: PackageName) -> Any:
    """Have it updated again."""
    await context.packages.hold(package.host, package.type, package.id, held=False)
    return _after(context, package)


@operation(
    "repository.list",
    "GET /repositories",
    answers.REPOSITORY_LIST,
    identifier="listRepositories",
    errors=(NotPossible,),
)
async def list_repositories(context: Context) -> dict[str, Any]:
    """The repositories, highest priority first.

    `as_of` is when what it offers was fetched, null for never. What a repository that is not
    `signed` offers may have been changed on its way; `expires` is until when signatures are good.
    """
    return {"repositories": context.packages.repositories()}


@operation(
    "repository.refresh",
    "POST /repositories/refresh",
    answers.REPOSITORY_LIST,
    identifier="refreshRepositories",
    errors=(NotPossible,),
    job=Where.HERE,
)
async def refresh(context: Context) -> dict[str, Any]:
    """Fetch what the repositories offer.

    A repository that fails keeps what it offered before and says why in `error`.
    """
    return {"repositories": await context.packages.refresh()}


@operation("job.list", "GET /jobs", answers.JOB_LIST, identifier="listJobs")
async def list_jobs(context: Context) -> dict[str, Any]:
    """What is under way, and what ended last; newest first."""
    return {"jobs": context.all_hosts.jobs()}


@operation("job.get", "GET /jobs/{job}", answers.JOB, errors=(UnknownComponent,))
async def get_job(context: Context, job: str) -> Job:
    """One of them."""
    for one in context.all_hosts.jobs():
        if str(one.id) == job:
            return one
    raise UnknownJob(f"There is no job {job}, or it ended long ago")
