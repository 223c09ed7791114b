"""The OpenAPI document beside the server: programs that know nothing else work with it."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from storerooms import Repository, package_world
from world import HOST, World, wait_until

pytestmark = pytest.mark.integration
SETTINGS = Path(__file__).with_name("schemathesis")
#: the manager is executed anew, or the answer may have no end
NOT_FUZZED = ("upgradeManager", "followEvents", "getLogs")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """There is a plugin, a package with two releases, and a daemon."""
    directory = tmp_path_factory.mktemp("described")
    repository = Repository(directory / "repo")
    for name, release in (("lamp", "1.0"), ("bell", "1.0"), ("bell", "2.0")):
        repository.publish(name, release)
    made = package_world(directory, str(repository.path))
    with (made.home / "domogik.cfg").open("a") as file:
        file.write("\n[daemon:cache]\nkind = redis\nkeep_running = yes\n")
    made.start("-d")
    made.request("/package/update-cache")
    made.post("/api/v1/packages/plugin/lamp/install")
    made.post("/api/v1/components/lamp/enable")
    made.wait_state("daemon:cache", "alive")
    yield made
    made.close()


def token(world: World) -> str:
    return (world.home / "admin.token").read_text().strip()


@pytest.fixture(scope="module")
def client(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A client that was generated from the document, as a package."""
    directory = tmp_path_factory.mktemp("generated")
    status, document = world.request("/api/v1/openapi.json")
    assert status == 200
    (directory / "openapi.json").write_text(json.dumps(document))
    generator = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    (directory / "config.yml").write_text("post_hooks: []\n")  # no formatting afterwards
    done = subprocess.run(
        [
            *(*generator, "--path", str(directory / "openapi.json")),
            *("--config", str(directory / "config.yml")),
            *("--output-path", str(directory / "domogik_generated")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(directory))
    yield importlib.import_module("domogik_generated")
    sys.path.remove(str(directory))


def test_a_generated_client_calls_every_operation_and_reads_every_answer(
    world: World, client: ModuleType, tmp_path: Path
) -> None:
    models, types = (
        importlib.import_module(f"domogik_generated.{one}") for one in ("models", "types")
    )
    done: set[str] = set()
    with client.AuthenticatedClient(
        base_url=f"http://127.0.0.1:{world.rest_port}", token=token(world), timeout=120
    ) as known:

        def call(name: str, *given: Any, status: int = 200, **more: Any) -> Any:
            module = importlib.import_module(f"domogik_generated.api.default.{name}")
            response = module.sync_detailed(*given, client=known, **more)
            assert response.status_code == status, (name, response.content)
            assert response.parsed is not None, name
            assert isinstance(response.parsed, models.Problem) is (status >= 400), name
            done.add(name)
            return response.parsed

        assert "lamp" in [one.name for one in call("list_components", host=HOST).components]
        for verb in ("start", "stop", "restart", "stop", "disable", "enable"):
            assert call(f"{verb}_component", "plugin:lamp").host == HOST
        assert call("get_component", "lamp").enabled
        assert call("get_component", "nobody", status=404).detail
        assert isinstance(call("get_logs", "lamp", lines=5), str)
        assert call("get_configuration", "lamp").keys
        value = models.Value(value="True")
        assert call("set_value", "lamp", "startup-plugin", body=value).value == "True"
        assert call("delete_value", "lamp", "startup-plugin").value == ""
        assert call("diagnose_component", "lamp").checks
        assert call("diagnose", wait=True).checks
        assert call("diagnose", wait=False, status=202).id
        assert call("get_diagnosis").host == HOST
        assert call("list_issues").host == HOST
        call("repair_issue", "nothing", body=models.RepairOrder(), status=404)
        assert call("get_unit_rule").rule

        assert call("get_credentials", "daemon:cache").url.startswith("redis://")
        assert call("back_up_component", "daemon:cache", file="one").file == "one"
        assert call("back_up_component", "daemon:cache", file=".one", status=400).detail
        assert [one.file for one in call("list_backups", "daemon:cache").backups] == ["one"]
        assert call("restore_component", "daemon:cache", file="one").name == "cache"
        assert call("reload_component", "daemon:cache").name == "cache"

        offers = call("list_offers").offers
        plugin = call("list_packages").packages[0].type_
        assert [one.release for one in offers if one.id == "bell"] == ["2.0", "1.0"]
        assert call("install_package", plugin, "bell", release="1.0").release == "1.0"
        assert call("update_package", plugin, "bell").release == "2.0"
        assert call("rollback_package", plugin, "bell").release == "1.0"
        assert call("hold_package", plugin, "bell").held
        assert not call("unhold_package", plugin, "bell").held
        assert call("get_dependencies", plugin, "bell").dependencies == []
        assert call("uninstall_package", plugin, "bell", with_data=True).release is None
        assert len(call("get_package", "plugin-bell").offers) == 2
        with next(world.home.parent.glob("repo/archives/*bell*2.0*")).open("rb") as archive:
            sent = types.File(payload=archive, file_name="bell.tgz")
            assert call("upload_package", body=sent, status=201).id == "bell"
        assert call("list_repositories").repositories
        assert call("refresh_repositories").repositories
        number = call("list_jobs").jobs[0].id
        assert call("get_job", number).id == number

        assert call("list_hosts").hosts[0].id == HOST
        assert call("get_description")["openapi"].startswith("3.1")
        assert "domogik_components" in call("get_metrics")
        done.add("follow_events")
        events = importlib.import_module("domogik_generated.api.default.follow_events")
        with known.get_httpx_client().stream(**events._get_kwargs(last_event_id=1)) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 3000"
            assert "event: resync" in [next(lines) for _ in range(3)]
        is_new = world.listens_anew()
        assert call("upgrade_manager", status=202).accepted
    wait_until(is_new, "the new one listens")
    described = [
        operation["operationId"]
        for path in world.request("/api/v1/openapi.json")[1]["paths"].values()
        for operation in path.values()
    ]
    assert done == {re.sub("[A-Z]", lambda one: f"_{one[0].lower()}", name) for name in described}


def test_no_request_that_is_made_from_the_document_finds_the_server_to_differ_from_it(
    world: World, tmp_path: Path
) -> None:
    program = [sys.executable, "-m", "schemathesis.cli"]
    found = subprocess.run(
        [
            *(*program, "--config-file", str(SETTINGS / "schemathesis.toml"), "run"),
            f"http://127.0.0.1:{world.rest_port}/api/v1/openapi.json",
            *("--header", f"Authorization: Bearer {token(world)}"),
            *(word for name in NOT_FUZZED for word in ("--exclude-operation-id", name)),
            *("--checks", "all", "--max-examples", "8", "--request-timeout", "120"),
            *("--seed", "1", "--no-shrink", "--continue-on-failure", "--warnings", "off"),
        ],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(SETTINGS)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
    assert "Stateful" in found.stdout
