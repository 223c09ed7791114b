"""Asks the main host whether it offers a plugin that this host lacks."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from domogik.errors import DomogikError
from domogik.manager.packages.remote import PackageHosts
from domogik.manager.packages.rest_servers import RestServers
from domogik.packages.descriptor.package import Dependency
from domogik.packages.descriptor.reference import InvalidReference, PackageRef
from domogik.packages.descriptor.requirements import PLUGIN, BadRequirement, parse_requirement
from domogik.packages.needs.dependencies import DependencyState


@attrs.define(eq=False)
class MainHostOffers:
    """What the repositories of the main host offer, as its manager answers; `own` is this host.

    The main host is the one whose REST was heard, which is where this host gets its packages.
    """

    own: str
    _rests: RestServers
    _others: PackageHosts

    async def complete(self, states: Sequence[DependencyState]) -> tuple[DependencyState, ...]:
        """Return them with the releases that the main host offers of plugins that are missing here.

        Where it does not answer, they are returned as they are.
        """
        missing = [Dependency(PLUGIN, one.dependency) for one in states if is_wanted(one)]
        main = await self._rests.host_other_than(self.own) if missing else None
        if main is None:
            return tuple(states)
        try:
            answers = await self._others.check(main, missing)
        except DomogikError:
            return tuple(states)
        offers = {answer.dependency: answer.offer for answer in answers}
        return tuple(offered(one, offers.get(one.dependency, ""), self.own) for one in states)


def is_wanted(state: DependencyState) -> bool:
    """Whether it is a plugin that is missing on a host and that this host does not find."""
    return state.kind == PLUGIN and not state.installed and not state.candidate


def offered(state: DependencyState, release: str, host: str) -> DependencyState:
    """Return it with that candidate, and the command that installs it on `host`, if it is wanted.

    `release` may have come from outside: what is none changes nothing.
    """
    if not is_wanted(state):
        return state
    try:
        ref = PackageRef("plugin", parse_requirement(state.dependency, PLUGIN).name, release)
    except (BadRequirement, InvalidReference):
        return state
    command = f"dmg_pkgmgr install {ref.id} {ref.release} --host {host}"
    return attrs.evolve(
        state, candidate=ref.release, offer=ref.release, error="", reason="", cmd_line=command
    )
