"""The chain: what is refused before anything happens, and what is put back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from packed import descriptor, package, tree
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.trial.unittest import TestCase

from domogik.config.home import Home
from domogik.errors import DomogikError, OperationFailed
from domogik.packages.archive.unpacking import BrokenArchive
from domogik.packages.descriptor.files import read
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.store.changes import RINOR, NotInstalled, Staged, Store, StoreFailed
from domogik.packages.store.install import (
    Installer,
    NeedsNewerDomogik,
    NoEarlierRelease,
    PackageRunning,
    check_version,
)
from domogik.packages.store.installation import Installation


def demo(release: str) -> Installation:
    return Installation(PackageRef("plugin", "demo", release))


ONE, TWO = demo("1.0"), demo("2.0")


class InstallTest(TestCase):
    """A home, a cache of archives, and threads that are none."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.home = Home(self.directory / "home")
        self.home.create()
        self.packages = self.home.path / "packages"
        self.running: set[str] = set()
        self.fetched: list[Installation] = []
        self.minimum = "0.1"
        self.installer = self.make()

    def make(self, **parts: Any) -> Installer:
        return Installer(
            Store(self.home),
            self.fetch,
            maybeDeferred,
            self.running.__contains__,
            **parts,
        )

    async def fetch(self, installation: Installation) -> Path:
        self.fetched.append(installation)
        ref = installation.ref
        return package(
            self.directory / f"{ref.file_stem}.tgz", ref.release, minimum=self.minimum, id=ref.id
        )

    async def test_both_parts_of_a_package_are_copied_once(self) -> None:
        await self.installer.install(ONE)
        await self.installer.install(ONE, RINOR)
        self.assertEqual(self.fetched, [ONE])
        store = self.installer.store
        self.assertEqual(store.present("plugin", "demo"), ONE.ref)
        self.assertEqual(store.served("plugin", "demo"), ONE.ref)

    async def test_who_waits_is_told_the_steps(self) -> None:
        steps: list[str] = []
        told = Installation(ONE.ref, lambda step, percent: steps.append(step))
        await self.installer.install(told)
        self.assertEqual(steps, ["fetching", "unpacking", "switching", "done"])

    async def test_a_running_plugin_is_refused_with_the_text_of_old(self) -> None:
        await self.installer.install(ONE)
        before = tree(self.packages)
        self.running.add("demo")
        for action in (
            lambda: self.installer.install(TWO),
            lambda: self.installer.uninstall("plugin", "demo"),
            lambda: self.installer.rollback("plugin", "demo"),
        ):
            error = await self.failure(action, PackageRunning)
            self.assertEqual(error, "Plugin 'demo' is running. Stop it before installing plugin.")
        self.assertEqual(tree(self.packages), before)
        self.assertEqual(self.fetched, [ONE])

    async def test_a_plugin_that_was_started_meanwhile_is_not_switched(self) -> None:
        await self.installer.install(ONE)
        before = tree(self.packages)
        staged = await self.installer.stage(TWO)
        self.running.add("demo")
        await self.failure(lambda: self.installer.switch_to(TWO, staged), PackageRunning)
        self.assertEqual(tree(self.packages), before)

    async def test_what_the_main_host_serves_may_change_while_the_plugin_runs(self) -> None:
        self.running.add("demo")
        await self.installer.install(ONE, RINOR)
        self.assertEqual(self.installer.store.served("plugin", "demo"), ONE.ref)

    async def test_a_package_for_a_later_domogik_is_refused(self) -> None:
        before = tree(self.packages)
        self.minimum = "99.0"
        error = await self.failure(
            lambda: self.make(version="0.4.0").install(ONE), NeedsNewerDomogik
        )
        self.assertEqual(
            error,
            "This package needs a Domogik version >= 99.0. Actual is 0.4.0. Installation ABORTED!",
        )
        self.assertEqual(tree(self.packages), before)

    async def test_an_archive_that_cannot_be_had_changes_nothing(self) -> None:
        await self.installer.install(ONE)
        before = tree(self.packages)

        async def fetch(installation: Installation) -> Path:
            raise StoreFailed("the repository is gone")

        installer = Installer(Store(self.home), fetch, maybeDeferred, lambda plugin: False)
        await self.failure(lambda: installer.install(TWO), StoreFailed)
        self.assertEqual(tree(self.packages), before)

    async def test_an_archive_of_another_package_changes_nothing(self) -> None:
        before = tree(self.packages)

        async def fetch(installation: Installation) -> Path:
            return package(self.directory / "evil.tgz", "1.0", id="evil")

        installer = Installer(Store(self.home), fetch, maybeDeferred, lambda plugin: False)
        await self.failure(lambda: installer.install(ONE), BrokenArchive)
        self.assertEqual(tree(self.packages), before)

    async def test_a_preparation_that_fails_changes_nothing(self) -> None:
        before = tree(self.packages)

        async def prepare(installation: Installation, staged: Staged) -> None:
            (staged.directory / "venv").mkdir()
            raise StoreFailed("pip has failed")

        installer = self.make(prepare=prepare)
        self.assertEqual(
            await self.failure(lambda: installer.install(ONE), StoreFailed), "pip has failed"
        )
        self.assertEqual(tree(self.packages), before)

    async def test_what_a_preparation_adds_is_part_of_the_release(self) -> None:
        async def prepare(installation: Installation, staged: Staged) -> None:
            (staged.directory / "venv").mkdir()

        await self.make(prepare=prepare).install(ONE)
        self.assertTrue((self.home.store / "plugin-demo/1.0/venv").is_dir())

    async def test_where_the_rinor_part_fails_the_xpl_part_is_put_back(self) -> None:
        await self.installer.install(ONE)
        before = tree(self.packages)
        self.home.rinor.rmdir()
        self.home.rinor.write_text("in the way")
        text = await self.failure(lambda: self.installer.install_both(TWO), OperationFailed)
        self.assertTrue(text.startswith("Error on 'rinor' part : "), text)
        self.home.rinor.unlink()
        self.home.rinor.mkdir()
        self.assertEqual(tree(self.packages), before)

    async def test_what_cannot_be_put_back_either_is_told_beside_the_first_cause(self) -> None:
        await self.installer.install(ONE)
        store = self.installer.store

        def refused(change: object) -> None:
            raise StoreFailed("no way back")

        self.patch(Store, "undo", lambda store, change: refused(change))
        self.home.rinor.rmdir()
        self.home.rinor.write_text("in the way")
        text = await self.failure(lambda: self.installer.install_both(TWO), OperationFailed)
        self.assertIn("Error on 'rinor' part : ", text)
        self.assertIn(str(self.home.rinor), text)
        self.assertTrue(text.endswith("cannot be undone: no way back"), text)
        self.assertEqual(store.present("plugin", "demo"), TWO.ref)

    async def test_going_back_leads_to_the_release_before_what_is_served_too(self) -> None:
        await self.installer.install_both(ONE)
        await self.installer.install_both(TWO)
        change = await self.installer.rollback("plugin", "demo")
        self.assertEqual((change.before, change.ref), (TWO.ref, ONE.ref))
        self.assertEqual(self.installer.store.present("plugin", "demo"), ONE.ref)
        self.assertEqual(self.installer.store.served("plugin", "demo"), ONE.ref)
        await self.failure(lambda: self.installer.rollback("plugin", "demo"), NoEarlierRelease)

    async def test_what_is_not_installed_can_neither_go_back_nor_away(self) -> None:
        await self.failure(lambda: self.installer.rollback("plugin", "demo"), NotInstalled)
        await self.failure(lambda: self.installer.uninstall("plugin", "demo"), NotInstalled)

    async def test_an_update_in_steps_can_be_taken_back(self) -> None:
        await self.installer.install(ONE)
        before = tree(self.packages)
        staged = await self.installer.stage(TWO)
        change = await self.installer.switch_to(TWO, staged)
        self.assertEqual(self.installer.store.present("plugin", "demo"), TWO.ref)
        await self.installer.undo(change)
        self.assertEqual(tree(self.packages), before)

    async def test_only_so_many_releases_are_kept(self) -> None:
        for number in range(1, 6):
            await self.installer.install(demo(f"{number}.0"))
        stored = self.installer.store.releases("plugin", "demo")
        self.assertEqual([ref.release for ref in stored], ["3.0", "4.0", "5.0"])

    async def test_two_installations_of_one_package_wait_for_each_other(self) -> None:
        held: list[Deferred[None]] = []
        active = [0]

        def in_thread(function: Callable[..., object], *arguments: object) -> Deferred[object]:
            active[0] += 1
            self.assertEqual(active[0], 1)
            waiting: Deferred[None] = Deferred()
            held.append(waiting)

            def run(_: None) -> object:
                active[0] -= 1
                return function(*arguments)

            return waiting.addCallback(run)

        installer = Installer(Store(self.home), self.fetch, in_thread, lambda plugin: False)
        both = [Deferred.fromCoroutine(installer.install(one)) for one in (ONE, TWO)]
        while held:
            held.pop(0).callback(None)
        for one in both:
            await one
        self.assertEqual(installer.store.present("plugin", "demo"), TWO.ref)
        self.assertEqual(installer.store.previous("plugin", "demo"), ONE.ref)

    async def failure(self, action: Callable[[], Awaitable[object]], kind: type) -> str:
        """The sentence of the error."""
        await succeed(None)
        try:
            await action()
        except DomogikError as error:
            self.assertIsInstance(error, kind)
            return str(error)
        raise AssertionError("nothing was refused")


def test_minimum_versions_are_compared_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "demo.xml"
    for minimum, version, allowed in (
        ("0.9", "0.10", True),
        ("0.10", "0.9", False),
        ("0.4.0", "0.4.0", True),
        ("0.4.0", "0.4.0.dev0", True),
        ("0.4.1", "0.4.0.dev0", False),
        ("whatever", "0.1", True),
    ):
        path.write_bytes(descriptor(minimum=minimum))
        package = read(path)
        if allowed:
            check_version(package, version)
        else:
            with pytest.raises(NeedsNewerDomogik):
                check_version(package, version)
