"""A repository that was built here, on a web server that is run from here."""

from __future__ import annotations

from pathlib import Path

import pytest
from storerooms import Repository
from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.config.home import Home
from domogik.daemons.nginx.daemon import NginxDaemon
from domogik.packages.http.fetch import Fetcher
from domogik.packages.http.response import FetchLimits
from domogik.packages.repositories.cache import Cache
from domogik.packages.sources import Source
from domogik.packages.store.changes import Store
from domogik.packages.store.install import Installer
from domogik.packages.store.installation import Installation

pytestmark = pytest.mark.integration


class RepositoryOnNginxTests(TestCase):
    timeout = 120

    async def test_a_package_is_offered_updated_and_installed(self) -> None:
        top = Path(self.mktemp()).absolute()
        repository = Repository(top)
        repository.publish("lamp", "1.0")
        daemon = NginxDaemon(_reactor)
        await daemon.configure(top / "web", root=str(repository.path))
        self.addCleanup(daemon.destroy)
        await daemon.start()
        fetcher = Fetcher(_reactor, deferToThread, FetchLimits(first_pause_s=0.01))
        self.addCleanup(fetcher.close)
        home = Home(top / "home")
        home.create()
        cache = Cache(home.cache, fetcher, deferToThread, lambda: 1000.0, home.trust)
        address = daemon.url.rstrip("/")
        for url in (address, f"{address}/json"):
            report = await cache.refresh([Source(5, url)])
            self.assertEqual((report.sources[0].error, report.sources[0].offered), ("", 1), url)
            again = await cache.refresh([Source(5, url)])
            self.assertTrue(again.sources[0].unchanged, url)
        repository.publish("lamp", "1.1")
        report = await cache.refresh([Source(5, f"{address}/json")])
        self.assertFalse(report.sources[0].unchanged)

        async def fetched(installation: Installation) -> Path:
            ref = installation.ref
            offer = (await cache.load()).find(ref.type, ref.id, ref.release)
            return await fetcher.download(
                offer.url,
                top / "got.tgz",
                limit_bytes=1_000_000,
                sha256=offer.sha256,
                size=offer.size,
            )

        store = Store(home)
        installer = Installer(store, fetched, deferToThread, lambda plugin: False)
        await installer.install(Installation((await cache.load()).find("plugin", "lamp").ref))
        installed = store.present("plugin", "lamp")
        self.assertEqual(str(installed.release), "1.1")
