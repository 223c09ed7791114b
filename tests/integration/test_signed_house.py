"""Signed repositories as people meet them: commands, a manager, REST."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import run
from published import Published
from storerooms import package_world
from world import HOST, World

pytestmark = pytest.mark.integration


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    """Another person's repository, in another process, with two packages."""
    made = Published(tmp_path / "published")
    for name in ("lamp", "meter"):
        made.package(name)
    made.sign()
    yield made
    made.stop()


@pytest.fixture
def world(tmp_path: Path, published: Published) -> Iterator[World]:
    """A home that names the root file, relative to its line; a manager runs."""
    made = package_world(tmp_path, f"{published.url} signed=their.root.json")
    shutil.copyfile(published.root, made.home / "their.root.json")
    made.start()
    yield made
    made.close()


def said(world: World, *arguments: str) -> str:
    done = run(world, "dmg_pkgmgr", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def get(world: World, path: str) -> dict[str, object]:
    port = (world.home / "run/rest.port").read_text().strip()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return json.load(answer)


def test_every_face_shows_what_is_signed_and_what_is_not(
    world: World, published: Published, tmp_path: Path
) -> None:
    lines = said(world, "update-cache").splitlines()
    assert "SIGNED" in lines[0]
    signed, uploads = lines[1:]
    assert published.url in signed
    assert "until 20" in signed
    assert "unsigned" in uploads
    said(world, "upload", str(published.package("mine")))
    by_name = {line.split()[0]: line for line in said(world, "list").splitlines()}
    assert "unsigned" in by_name["plugin-mine"]
    assert "unsigned" not in by_name["plugin-lamp"]
    assert " yes " in by_name["plugin-lamp"]
    assert "unsigned" in said(world, "show", "mine")
    assert "unsigned" not in said(world, "show", "lamp")
    offers = {one["id"]: one["signed"] for one in get(world, "/api/v1/packages/offers")["offers"]}
    assert offers == {"lamp": True, "meter": True, "mine": False}
    first, last = get(world, "/api/v1/repositories")["repositories"]
    assert (first["signed"], last["signed"], last["expires"]) == (True, False, None)
    assert first["expires"].startswith("20")
    packages = get(world, f"/package/available/{HOST}/plugin/")["package"]
    assert {one["id"]: one["signed"] for one in packages} == {
        "lamp": "True",
        "meter": "True",
        "mine": "False",
    }
    repositories = get(world, "/package/list-repo/")["repository"]
    assert [one["signed"] for one in repositories] == ["True", "False"]


def test_what_is_out_of_date_stops_a_refresh_and_no_installation(
    world: World, published: Published
) -> None:
    said(world, "update-cache")
    published.sign(days=-380)
    done = run(world, "dmg_pkgmgr", "update-cache")
    assert done.returncode == 1
    assert "out of date" in done.stdout
    assert published.url in done.stdout
    # not even the metadata have to be there
    shutil.rmtree(published.path / "metadata")
    assert f"plugin-lamp 1.0 is installed on {HOST}" in said(world, "install", "lamp")


def test_a_changed_archive_is_refused_and_nothing_is_left_of_it(
    world: World, published: Published
) -> None:
    said(world, "update-cache")
    published.tamper("download/plugin/lamp/1.0")
    done = run(world, "dmg_pkgmgr", "install", "lamp")
    assert done.returncode == 1
    assert "has the digest" in done.stderr
    assert list((world.home / "packages/plugins").iterdir()) == []
    assert "lamp" not in said(world, "list", "--installed")
    assert "plugin-meter 1.0 is installed" in said(world, "install", "meter")


def test_what_was_fetched_unsigned_is_hidden_once_the_line_says_signed(
    world: World, published: Published
) -> None:
    sources = world.home / "sources.list"
    named = sources.read_text()
    shutil.rmtree(published.path / "metadata")
    published.build()
    sources.write_text(f"500 {published.url}\n")
    assert "unsigned" in said(world, "update-cache")
    assert "plugin-lamp" in said(world, "list")
    sources.write_text(named)
    done = run(world, "dmg_pkgmgr", "update-cache")
    assert done.returncode == 1
    assert "signed no longer" in done.stdout
    assert "plugin-lamp" not in run(world, "dmg_pkgmgr", "list").stdout


def test_a_root_file_that_is_missing_is_told_with_file_and_line(world: World) -> None:
    (world.home / "their.root.json").unlink()
    done = run(world, "dmg_pkgmgr", "update-cache")
    assert done.returncode == 1
    assert f"{world.home}/sources.list:1: signed={world.home}/their.root.json" in done.stdout


def test_a_person_signs_a_directory(tmp_path: Path, published: Published) -> None:
    target = tmp_path / "www" / "packages"
    home = tmp_path / "publisher"

    def repository(*arguments: str) -> tuple[int, str]:
        done = run(home, "dmg_pkgmgr", "repository", str(published.archives), *arguments)
        return done.returncode, done.stdout + done.stderr

    status, text = repository("-o", str(target), "--sign")
    assert status == 0
    (keys,) = (home / "data/keys").iterdir()
    assert str(keys) in text
    assert "secret" in text
    assert str(target / "metadata/1.root.json") in text
    assert {path.stat().st_mode & 0o777 for path in keys.iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (home, home / "data", keys)} == {0o700}
    status, text = repository("-o", str(target), "--sign")
    assert status == 0
    assert "secret" not in text
    status, text = repository("-o", str(target))
    assert (status, text.count("\n")) == (1, 1)
    assert "--sign" in text
    status, text = repository("-o", str(target), "--sign", "--keys", str(target / "keys"))
    assert status == 1
    assert "part of what is served" in text
    status, text = repository("-o", str(target), "--sign", "--keys", str(tmp_path / "new"))
    assert status == 1
    assert "--keys" in text
    status, text = repository("-o", str(target), "--keys", os.fspath(keys))
    assert status == 1
    assert "add --sign" in text
    status, text = repository("-o", str(target), "--sign", "--keys", str(keys), "--json")
    document = json.loads(text)
    assert (document["signed"], document["keys"]) == (True, str(keys))
