"""How do packages look on the RINOR paths?

Clients of two generations read them: `version` and `release`, `category` and `techno` are the same
thing, and each item has both.
"""

from __future__ import annotations

from collections.abc import Iterable

from domogik.manager.packages.interfaces import InstalledPackage
from domogik.packages.descriptor.package import UdevRule
from domogik.packages.needs.dependencies import DependencyState
from domogik.packages.repositories.index import Offer

Item = dict[str, object]

#: what is said to who cannot type a command: Domogik's own words
_FROM_THE_PAGE = "Install from Domogik Administration"


def offer_item(offer: Offer) -> Item:
    """A release that is available; nothing in it is a boolean or null."""
    package = offer.package
    return {
        "type": package.type,
        "id": package.id,
        "name": package.id,
        "fullname": package.full_name,
        "version": package.release,
        "release": package.release,
        "generated": package.generated,
        "category": package.technology,
        "techno": package.technology,
        "documentation": package.documentation,
        "doc": package.documentation,
        "description": package.description,
        "desc": package.description,
        "changelog": package.changelog,
        "author": package.author,
        "author_email": package.author_email,
        "email": package.author_email,
        "domogik_min_version": package.min_version,
        "domogik_min_release": package.min_version,
        "priority": str(offer.source.priority),
        "source": offer.source.url,
        "signed": str(offer.signed),
        "archive_url": offer.url,
        "package_url": offer.url,
        "dependencies": [{"id": one.id, "type": one.type} for one in package.dependencies],
    }


def installed_item(installed: InstalledPackage) -> Item:
    """A package of a host, with what is newer."""
    ref = installed.ref
    return {
        "fullname": ref.fullname,
        "id": ref.id,
        "version": ref.release,
        "release": ref.release,
        "type": ref.type,
        "enabled": installed.enabled,
        "updates": [
            {
                "type": offer.package.type,
                "id": offer.package.id,
                "version": offer.package.release,
                "release": offer.package.release,
                "priority": str(offer.source.priority),
                "changelog": offer.package.changelog,
            }
            for offer in installed.updates
        ],
    }


def dependency_items(states: Iterable[DependencyState]) -> list[Item]:
    """Plugins first, the rest in the order of the descriptor."""
    ordered = sorted(states, key=lambda state: state.kind != "plugin")
    return [_dependency_item(state) for state in ordered]


def _dependency_item(state: DependencyState) -> Item:
    by_page = state.kind == "plugin" and not state.installed
    return {
        "type": state.kind,
        "id": state.dependency,
        "installed": state.installed,
        "version": state.release,
        "release": state.release,
        "candidate": state.candidate,
        "cmd_line": _FROM_THE_PAGE if by_page else state.cmd_line,
        "error": state.error,
    }


def rule_item(rule: UdevRule) -> Item:
    """A rule that a person may install."""
    return {
        "model": rule.model,
        "description": rule.description,
        "filename": rule.filename,
        "rule": rule.rule,
    }
