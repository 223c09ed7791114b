"""`/package` in Domogik's own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from domogik.api.encoding import OFFERS_AT_A_TIME as AT_A_TIME
from domogik.errors import NoAnswer, NotPossible, OperationFailed
from domogik.manager.packages.interfaces import InstalledPackage, RepositoryInfo
from domogik.packages.descriptor.package import Dependency, UdevRule
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.needs.dependencies import DependencyState
from domogik.packages.store.changes import StoreFailed
from domogik.testing.all_hosts import FakeAllHosts
from domogik.testing.packages import FakePackages, offer

RUNNING = "Plugin 'demo' is running. Stop it before installing plugin."


@pytest.fixture
def packages(package_access) -> FakePackages:
    return package_access.packages


def installed(id: str = "demo", release: str = "1.0", host: str = "vm", **fields):
    return InstalledPackage(PackageRef("plugin", id, release), host, **fields)


def error(answer) -> str:
    """The description of an error, which has HTTP 200."""
    assert answer.status == 200
    assert (answer.json["status"], answer.json["code"]) == ("ERROR", 999)
    return answer.json["description"]


def test_repositories_are_listed_with_their_priority_as_text(package_access, packages):
    packages.sources += [
        RepositoryInfo("http://repository.example/testing", 400),
        RepositoryInfo("http://repository.example/stable", 500, signed=True),
    ]
    assert package_access.get("/package/list-repo/").json["repository"] == [
        {"url": "http://repository.example/stable", "priority": "500", "signed": "True"},
        {"url": "http://repository.example/testing", "priority": "400", "signed": "False"},
    ]


def test_the_cache_is_updated(package_access, packages):
    assert package_access.get("/package/update-cache/", token=True).json == {
        "status": "OK",
        "code": 0,
        "description": "None",
        "cache": [],
    }
    assert packages.queue.all()[0].kind == "refresh"


def test_a_repository_that_fails_is_named(package_access, packages):
    packages.sources.append(RepositoryInfo("http://gone.example", 1, error="nobody is there"))
    answer = package_access.get("/package/update-cache/", token=True)
    assert error(answer) == "Error while updating cache : http://gone.example: nobody is there"
    assert answer.json["cache"] == []


def test_an_available_package_has_what_both_generations_of_clients_read(package_access, packages):
    packages.offer(
        offer("demo", "0.1", priority=500, dependencies=(Dependency("python", "six (>=1.0)"),))
    )
    (item,) = package_access.get("/package/available/vm/plugin/").json["package"]
    assert item["version"] == item["release"] == "0.1"
    assert item["category"] == item["techno"] == "service"
    assert item["author_email"] == item["email"] == "somebody@example.org"
    assert item["fullname"] == "plugin-demo"
    assert item["priority"] == "500"
    assert item["source"] == "http://repository.example/stable"
    assert item["signed"] == "False"
    assert item["archive_url"].endswith("/download/plugin/demo/0.1")
    assert item["dependencies"] == [{"id": "six (>=1.0)", "type": "python"}]
    assert item["domogik_min_version"] == "0.1.0"


def test_nothing_is_available_on_a_host_that_nobody_heard(package_access, packages):
    packages.offer(offer("demo"))
    answer = package_access.get("/package/available/nosuch/plugin/").json
    assert (answer["status"], answer["package"]) == ("ERROR", [])
    assert answer["description"] == "No manager of a host nosuch was ever heard"


def test_what_is_installed_on_a_host_is_not_available_there(package_access, packages):
    packages.offer(offer("demo", "1.0"), offer("demo", "2.0"), offer("other"))
    packages.put(installed("demo", host="attic"))
    packages.others = ("attic",)
    ids = [
        item["id"] for item in package_access.get("/package/available/attic/plugin").json["package"]
    ]
    assert ids == ["other"]
    assert len(package_access.get("/package/available/vm/plugin").json["package"]) == 3


def test_thousands_of_packages_are_encoded_in_turns_and_once(package_access, packages):
    packages.offer(*(offer(f"p{number}") for number in range(3 * AT_A_TIME)))
    connection = package_access.open("GET", "/package/available/vm/plugin")
    assert not connection.received
    for _ in range(3):
        package_access.clock.advance(0)
    assert len(connection.response().json["package"]) == 3 * AT_A_TIME
    assert len(package_access.get("/package/available/vm/plugin").json["package"]) == 3 * AT_A_TIME


def test_what_repositories_offer_anew_is_encoded_before_anybody_asks(package_access, packages):
    packages.offer(*(offer(f"p{number}") for number in range(3 * AT_A_TIME)))
    package_access.all_hosts.events.publish("repositories.changed")
    for _ in range(3):
        package_access.clock.advance(0)
    assert len(package_access.get("/package/available/vm/plugin").json["package"]) == 3 * AT_A_TIME
    assert len(package_access.get("/api/v1/packages/offers").json["offers"]) == 3 * AT_A_TIME


def test_a_second_change_while_the_first_is_encoded_counts(package_access, packages):
    packages.offer(*(offer(f"p{number}") for number in range(3 * AT_A_TIME)))
    package_access.all_hosts.events.publish("repositories.changed")
    package_access.clock.advance(0)
    packages.offer(*(offer(f"q{number}") for number in range(AT_A_TIME)))
    package_access.all_hosts.events.publish("repositories.changed")
    for _ in range(4):
        package_access.clock.advance(0)
    assert not package_access.clock.getDelayedCalls()
    assert len(package_access.get("/package/available/vm/plugin").json["package"]) == 4 * AT_A_TIME


def test_where_no_packages_are_managed_nothing_is_encoded(make_door):
    door = make_door(FakeAllHosts(package_mode=False))
    door.all_hosts.events.publish("repositories.changed")
    assert not door.clock.getDelayedCalls()


def test_a_refreshed_offer_is_shown_anew(package_access, packages):
    packages.offer(offer("demo", changelog="old"))
    package_access.get("/package/available/vm/plugin")
    packages.offer(offer("demo", changelog="new", priority=600))
    (item,) = package_access.get("/package/available/vm/plugin").json["package"]
    assert item["changelog"] == "new"


def test_installed_packages_with_their_updates(package_access, packages):
    packages.put(installed("demo", "0.9", enabled=False))
    packages.offer(offer("demo", "0.10", changelog="- created"))
    assert package_access.get("/package/installed/vm/plugin/").json["package"] == [
        {
            "fullname": "plugin-demo",
            "id": "demo",
            "version": "0.9",
            "release": "0.9",
            "type": "plugin",
            "enabled": "False",
            "updates": [
                {
                    "type": "plugin",
                    "id": "demo",
                    "version": "0.10",
                    "release": "0.10",
                    "priority": "500",
                    "changelog": "- created",
                }
            ],
        }
    ]


def test_an_unknown_host_has_nothing_installed(package_access):
    assert package_access.get("/package/installed/nowhere/plugin").json["package"] == []


def test_an_unknown_type_is_said_so(package_access):
    assert error(package_access.get("/package/installed/vm/zoo")) == "Type 'zoo' doesn't exists"


def test_a_package_is_installed_and_uninstalled(package_access, packages):
    packages.offer(offer("demo", "1.0"), offer("demo", "2.0"))
    answer = package_access.get("/package/install/vm/plugin/demo/1.0/", token=True)
    assert (answer.json["status"], answer.json["install"]) == ("OK", [])
    assert [str(one.ref) for one in packages.installed()] == ["plugin-demo 1.0"]
    answer = package_access.get("/package/uninstall/vm/plugin/demo/", token=True)
    assert (answer.json["status"], answer.json["uninstall"]) == ("OK", [])
    assert packages.done[-1] == ("uninstall", "vm", "plugin-demo 1.0")


@pytest.mark.parametrize(
    "path",
    [
        "/package/update-cache",
        "/package/install/vm/plugin/demo/1.0",
        "/package/uninstall/vm/plugin/demo",
        "/package/install_from_path/vm?filename=plugin-demo-1.0.tgz",
    ],
)
def test_changing_needs_the_token(package_access, packages, path):
    packages.offer(offer("demo"))
    assert package_access.get(path).status == 401
    assert not packages.queue.all()


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (NoAnswer("silence"), "No data or timeout on installing package"),
        (NotPossible(RUNNING), f"Error on 'xpl' part : {RUNNING}"),
        (OperationFailed("disk"), "Error on 'xpl' part : disk"),
        (StoreFailed("disk"), "Error on 'xpl' part : disk"),
        (OperationFailed("Error on 'rinor' part : disk"), "Error on 'rinor' part : disk"),
    ],
)
def test_why_an_installation_failed_is_told_once(package_access, packages, failure, text):
    packages.offer(offer("demo"))
    packages.failures["install", "plugin-demo"] = failure
    assert error(package_access.get("/package/install/vm/plugin/demo/1.0", token=True)) == text
    assert packages.queue.all()[0].state.value == "failed"


@pytest.mark.parametrize("release", ["9.9", "..%2f..%2fetc", "%20", "1" * 41])
def test_a_release_that_is_not_offered_cannot_be_installed(package_access, packages, release):
    packages.offer(offer("demo"))
    answer = package_access.get(f"/package/install/vm/plugin/demo/{release}", token=True)
    assert error(answer).startswith("Error on putting package in cache : ")


def test_errors_of_uninstalling(package_access, packages):
    packages.put(installed())
    path = "/package/uninstall/vm/plugin/demo"
    packages.failures["uninstall", "plugin-demo"] = NoAnswer("")
    assert (
        error(package_access.get(path, token=True)) == "No data or timeout on uninstalling package"
    )
    packages.failures["uninstall", "plugin-demo"] = NotPossible(RUNNING)
    assert error(package_access.get(path, token=True)) == f"Error : {RUNNING}"
    path = "/package/uninstall/vm/plugin/other"
    assert error(package_access.get(path, token=True)).startswith("Error : ")


@pytest.mark.parametrize("word", ["dependency", "check-dependencies"])
def test_dependencies_plugins_first(package_access, packages, word):
    packages.offer(offer("demo"))
    packages.states["plugin-demo"] = (
        DependencyState("python", "six (>=1.0)", True, "1.17.0"),
        DependencyState("other", "owfs", error="No candidate to dependency 'owfs' ..."),
        DependencyState("plugin", "xpl_time", cmd_line="dmg_pkgmgr install xpl_time 1.0"),
    )
    answer = package_access.get(f"/package/{word}/vm/plugin/demo/1.0/").json["dependency"]
    assert [item["type"] for item in answer] == ["plugin", "python", "other"]
    assert answer[0]["installed"] == "False"
    assert answer[0]["cmd_line"] == "Install from Domogik Administration"
    assert answer[1] == {
        "type": "python",
        "id": "six (>=1.0)",
        "installed": "True",
        "version": "1.17.0",
        "release": "1.17.0",
        "candidate": "",
        "cmd_line": "",
        "error": "",
    }


def test_errors_of_dependencies(package_access, packages):
    path = "/package/dependency/vm/plugin/demo/1.0"
    assert error(package_access.get(path)) == "No package corresponding to request"
    packages.failures["dependencies", "plugin-demo"] = NoAnswer("")
    assert error(package_access.get(path)) == "No data or timeout on checking dependencies"
    answer = package_access.get("/plugin/dependency/vm/demo")
    assert error(answer) == "No data or timeout on getting dependencies"
    assert answer.json["dependency"] == []
    packages.failures["dependencies", "plugin-demo"] = OperationFailed("no")
    assert error(package_access.get(path)) == "Error : no"


def test_what_an_installed_plugin_needs_and_its_rules(package_access, packages):
    packages.put(installed())
    packages.states["plugin-demo"] = (DependencyState("python", "six", True, "1.17.0"),)
    packages.rules["plugin-demo"] = (UdevRule("Box", "A box", "99-box.rules", 'ATTRS{x}=="y"'),)
    (item,) = package_access.get("/plugin/dependency/vm/demo/").json["dependency"]
    assert item["installed"] == "True"
    assert package_access.get("/plugin/udev-rule/vm/demo/").json["udev-rule"] == [
        {
            "model": "Box",
            "description": "A box",
            "filename": "99-box.rules",
            "rule": 'ATTRS{x}=="y"',
        }
    ]
    packages.failures["udev_rules", "plugin-demo"] = NoAnswer("")
    answer = package_access.get("/plugin/udev-rule/vm/demo/")
    assert error(answer) == "No data or timeout on getting udev rules"


ARCHIVE = b"\x1f\x8b plugin-demo-1.0 " + b"x" * 200_000


def put(package_access, filename: str, body: bytes = ARCHIVE):
    path = f"/package/install_from_path/vm?filename={filename}"
    return package_access.ask("PUT", path, body=body, token=True)


def test_an_uploaded_package_is_checked_kept_and_installed(package_access, packages, tmp_path):
    answer = put(package_access, "plugin-demo-1.0.tgz")
    assert (answer.json["status"], answer.json["install"]) == ("OK", [])
    assert packages.uploaded == [ARCHIVE]
    assert packages.done == [("install", "vm", "plugin-demo 1.0")]
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("filename", "text"),
    [
        ("", "You must give a file name : ?filename=foo.txt"),
        ("foo.txt", "Bad filename provided. It must be a .tgz file"),
        ("foo.tgz", "Bad filename provided."),
        ("../../plugin-demo-1.0.tgz", "Bad filename provided."),
        ("plugin-demo-..%2f1.tgz", "Bad filename provided."),
        ("zoo-demo-1.0.tgz", "Bad filename provided."),
        ("plugin-other-1.0.tgz", "Bad filename provided. The package in it is plugin-demo 1.0"),
    ],
)
def test_the_name_of_an_uploaded_file_is_that_of_its_package(
    package_access, packages, tmp_path, filename, text
):
    assert error(put(package_access, filename)) == text
    assert packages.done == []
    assert packages.offers() == ()
    assert list((tmp_path / "uploads").iterdir()) == []


def test_what_is_no_archive_is_refused(package_access, packages):
    answer = put(package_access, "plugin-demo-1.0.tgz", b"nonsense")
    assert error(answer) == "it is not a gzipped tar archive"
    assert error(put(package_access, "plugin-demo-1.0.tgz", b"")).endswith("and it is empty")
    assert packages.done == []


def test_an_archive_is_sent_to_anybody(package_access, packages, tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(ARCHIVE)
    packages.offer(offer("demo")).archives[PackageRef("plugin", "demo", "1.0")] = path
    answer = package_access.get("/package/download/plugin/demo/1.0", peer="192.0.2.7")
    assert (answer.status, answer.body) == (200, ARCHIVE)
    assert answer.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in answer.headers


def test_who_has_it_is_told_so(package_access, packages, tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(ARCHIVE)
    packages.offer(offer("demo")).archives[PackageRef("plugin", "demo", "1.0")] = path
    etag = package_access.get("/package/download/plugin/demo/1.0").headers["etag"]
    for given in (etag, f'"other", W/{etag}', "*"):
        answer = package_access.get(
            "/package/download/plugin/demo/1.0", headers={"If-None-Match": given}
        )
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == etag
    path.write_bytes(b"another")
    answer = package_access.get(
        "/package/download/plugin/demo/1.0", headers={"If-None-Match": etag}
    )
    assert answer.body == b"another"


@pytest.mark.parametrize(
    ("given", "status", "part"),
    [
        ("bytes=10-", 206, ARCHIVE[10:]),
        ("bytes=10-19", 206, ARCHIVE[10:20]),
        ("bytes=-5", 206, ARCHIVE[-5:]),
        ("bytes=0-9999999", 206, ARCHIVE),
        ("bytes=9999999-", 416, b""),
        ("bytes=20-10", 200, ARCHIVE),
        ("bytes=1-2,4-5", 200, ARCHIVE),
        ("bytes=-", 200, ARCHIVE),
        ("lines=1-2", 200, ARCHIVE),
    ],
)
def test_a_download_goes_on_where_it_broke_off(
    package_access, packages, tmp_path, given, status, part
):
    path = tmp_path / "archive"
    path.write_bytes(ARCHIVE)
    packages.offer(offer("demo")).archives[PackageRef("plugin", "demo", "1.0")] = path
    answer = package_access.get("/package/download/plugin/demo/1.0", headers={"Range": given})
    assert (answer.status, answer.body) == (status, part)


def test_a_download_of_a_file_that_was_replaced_begins_anew(package_access, packages, tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(ARCHIVE)
    packages.offer(offer("demo")).archives[PackageRef("plugin", "demo", "1.0")] = path
    headers = {"Range": "bytes=10-", "If-Range": '"of-old"'}
    assert package_access.get("/package/download/plugin/demo/1.0", headers=headers).status == 200


def test_the_head_of_a_download_tells_its_size(package_access, packages, tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(ARCHIVE)
    packages.offer(offer("demo")).archives[PackageRef("plugin", "demo", "1.0")] = path
    answer = package_access.ask("HEAD", "/package/download/plugin/demo/1.0")
    assert answer.headers["content-length"] == str(len(ARCHIVE))
    assert answer.body == b""


@pytest.mark.parametrize(
    "path",
    [
        "/package/download/plugin/demo/9.9",
        "/package/download/plugin/demo/1.0",
        "/package/download/plugin/..%2f..%2fetc/passwd",
        "/package/download/zoo/demo/1.0",
        "/package/icon/available/plugin/demo/1.0",
        "/package/icon/installed/plugin/..%2fdemo",
        "/package/icon/installed/plugin/demo",
    ],
)
def test_a_file_that_is_not_there_is_404(package_access, packages, path):
    packages.offer(offer("demo"))
    packages.icons["plugin", "demo", "1.0"] = Path("/nowhere/icon.png")
    answer = package_access.get(path)
    assert (answer.status, answer.body) == (404, b"404 - Not found")


def test_nothing_but_a_file_is_sent(package_access, packages, tmp_path):
    packages.offer(offer("demo")).icons["plugin", "demo", "1.0"] = tmp_path
    assert package_access.get("/package/icon/available/plugin/demo/1.0").status == 404


def test_a_fault_is_no_archive(package_access, packages, failures):
    packages.offer(offer("demo")).failures["archive", "plugin-demo"] = ValueError("bug")
    assert package_access.get("/package/download/plugin/demo/1.0").status == 500
    assert len(failures()) == 1


def test_icons_are_sent_to_anybody(package_access, packages, tmp_path):
    icon = tmp_path / "icon.png"
    icon.write_bytes(b"\x89PNG")
    packages.offer(offer("demo"))
    packages.icons["plugin", "demo", "1.0"] = icon
    packages.icons["plugin", "demo", None] = icon
    for path in ("available/plugin/demo/1.0", "installed/plugin/demo"):
        answer = package_access.get(f"/package/icon/{path}", peer="192.0.2.7")
        assert (answer.body, answer.headers["content-type"]) == (b"\x89PNG", "image/png")


def test_without_a_manager_it_is_said_what_to_start(make_door):
    door = make_door()
    assert "start dmg_manager" in error(door.get("/package/list-repo"))
    assert door.get("/api/v1/packages").status == 409
    assert door.get("/package/download/plugin/demo/1.0").status == 404


def test_in_development_mode_it_is_said_how_to_leave_it(make_door):
    door = make_door(FakeAllHosts(package_mode=False), packages=FakePackages())
    assert "package_path" in error(door.get("/package/available/vm/plugin"))
    assert door.get("/package/get-mode").json["mode"] == ["development"]
