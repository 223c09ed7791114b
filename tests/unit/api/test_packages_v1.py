"""`/api/v1`: packages, repositories, jobs."""

from __future__ import annotations

import errno
import os

import pytest
from twisted.internet.defer import Deferred

from domogik.api.http.uploads import MAX_UPLOAD, MAX_UPLOADS, UPLOAD_TIMEOUT
from domogik.errors import FetchFailed, NoAnswer, NotPossible, OperationFailed
from domogik.manager.packages.interfaces import InstalledPackage, RepositoryInfo
from domogik.packages.descriptor.package import Dependency
from domogik.packages.descriptor.reference import PackageRef
from domogik.testing.packages import FakePackages, offer

BASE = "/api/v1/packages"
ARCHIVE = b"\x1f\x8b plugin-demo-1.0 "
UPLOAD = b"POST /api/v1/packages/upload HTTP/1.1\r\nHost: localhost\r\n"
TOKEN = b"Authorization: Bearer the-token\r\n"


@pytest.fixture
def packages(package_access) -> FakePackages:
    return package_access.packages.offer(offer("demo", "1.0"), offer("demo", "2.0"))


def test_a_package_is_installed_updated_and_rolled_back(package_access, packages):
    answer = package_access.post(f"{BASE}/plugin/demo/install?release=1.0")
    assert answer.status == 200
    assert answer.json["release"] == "1.0"
    assert answer.json["updates"] == ["2.0"]
    assert package_access.post(f"{BASE}/plugin/demo/update").json["release"] == "2.0"
    assert package_access.post(f"{BASE}/plugin/demo/rollback").json["release"] == "1.0"
    assert [verb for verb, *_ in packages.done] == ["install", "update", "rollback"]


def test_it_is_held_and_not_any_more(package_access, packages):
    package_access.post(f"{BASE}/plugin/demo/install")
    assert package_access.post(f"{BASE}/plugin/demo/hold").json["held"] is True
    assert package_access.get(BASE).json["packages"][0]["held"] is True
    assert package_access.post(f"{BASE}/plugin/demo/unhold").json["held"] is False


@pytest.mark.parametrize(
    ("query", "verb"),
    [("", "uninstall"), ("?with_data=yes", "purge"), ("?with_data=no", "uninstall")],
)
def test_data_goes_only_when_asked(package_access, packages, query, verb):
    package_access.post(f"{BASE}/plugin/demo/install")
    answer = package_access.post(f"{BASE}/plugin/demo/uninstall{query}")
    assert (answer.status, answer.json["release"]) == (200, None)
    assert packages.done[-1][0] == verb
    assert package_access.get(BASE).json["packages"] == []


def test_what_takes_its_time_may_be_left_to_a_job(package_access, packages):
    packages.held["install", "plugin-demo"] = Deferred()
    answer = package_access.post(f"{BASE}/plugin/demo/install?wait=no")
    assert answer.status == 202
    job = answer.json
    assert (job["kind"], job["subject"], job["state"]) == ("install", "plugin-demo", "running")
    again = package_access.post(f"{BASE}/plugin/demo/install?wait=no").json
    assert again["id"] == job["id"]
    packages.held["install", "plugin-demo"].callback(None)
    done = package_access.get(f"/api/v1/jobs/{job['id']}").json
    assert (done["state"], done["error"]) == ("done", "")
    assert len(package_access.get("/api/v1/jobs").json["jobs"]) == 1


def test_how_a_job_failed_the_job_tells(package_access, packages, failures):
    waiting = packages.held["install", "plugin-demo"] = Deferred()
    packages.failures["install", "plugin-demo"] = OperationFailed("no room")
    job = package_access.post(f"{BASE}/plugin/demo/install?wait=no").json
    waiting.callback(None)
    done = package_access.get(f"/api/v1/jobs/{job['id']}").json
    assert (done["state"], done["error"]) == ("failed", "no room")
    assert failures() == []


def test_what_fails_at_once_is_no_job(package_access, packages):
    assert package_access.post(f"{BASE}/plugin/demo/install?wait=no&release=9").status == 404
    assert package_access.post(f"{BASE}/plugin/demo/install?wait=perhaps").status == 400


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (OperationFailed("no room"), 409),
        (OperationFailed("1.1 was given up: exit status 1", "exit status 1"), 409),
        (NotPossible("it runs"), 409),
        (NoAnswer("silence"), 504),
        (FetchFailed("http://gone.example", "nobody is there"), 502),
    ],
)
def test_errors_have_their_status(package_access, packages, failure, status):
    packages.failures["install", "plugin-demo"] = failure
    answer = package_access.post(f"{BASE}/plugin/demo/install")
    assert (answer.status, answer.json["detail"]) == (status, str(failure))


@pytest.mark.parametrize(
    "path",
    [
        "plugin/other/install",
        "plugin/demo/install?release=3.0",
        "plugin/demo/install?host=nowhere",
        "zoo/demo/install",
        "plugin/..%2Fdemo/install",
        "plugin/demo/update",
        "plugin/demo/uninstall",
    ],
)
def test_unknown_things_are_404(package_access, packages, path):
    assert package_access.post(f"{BASE}/{path}").status == 404
    assert packages.done == []


def test_packages_of_every_host_or_of_one(package_access, packages):
    packages.put(
        InstalledPackage(PackageRef("plugin", "demo", "1.0"), "attic", False),
        InstalledPackage(PackageRef("external", "lamp", "1.0"), "vm"),
    )
    listed = package_access.get(BASE).json
    assert listed["host"] == "vm"
    assert [one["host"] for one in listed["packages"]] == ["attic", "vm"]
    assert len(package_access.get(f"{BASE}?host=attic").json["packages"]) == 1
    (only,) = package_access.get(f"{BASE}?type=external").json["packages"]
    assert only["fullname"] == "external-lamp"
    assert package_access.get(f"{BASE}?type=zoo").status == 400


def test_one_package_with_all_that_is_known(package_access, packages):
    package_access.post(f"{BASE}/plugin/demo/install?release=1.0")
    shown = package_access.get(f"{BASE}/plugin-demo").json
    assert [one["release"] for one in shown["installed"]] == ["1.0"]
    assert [one["release"] for one in shown["offers"]] == ["2.0", "1.0"]
    assert shown["offers"][0]["archive"] == "/package/download/plugin/demo/2.0"
    assert package_access.get(f"{BASE}/plugin-nobody").status == 404
    assert package_access.get(f"{BASE}/nobody").status == 404


def test_offers(package_access, packages):
    packages.offer(offer("lamp", type="external", dependencies=(Dependency("plugin", "demo"),)))
    listed = package_access.get(f"{BASE}/offers").json
    assert [(one["fullname"], one["release"]) for one in listed["offers"]] == [
        ("external-lamp", "1.0"),
        ("plugin-demo", "2.0"),
        ("plugin-demo", "1.0"),
    ]
    assert len(package_access.get(f"{BASE}/offers?type=external").json["offers"]) == 1


def test_repositories_and_their_refresh(package_access, packages):
    slow = RepositoryInfo("http://repository.example", 5, 1000.0, 2, "it is slow", True, 2000.0)
    packages.sources.append(slow)
    (one,) = package_access.get("/api/v1/repositories").json["repositories"]
    assert one == {
        "url": "http://repository.example",
        "priority": 5,
        "as_of": "1970-01-01T00:16:40.000Z",
        "packages": 2,
        "error": "it is slow",
        "signed": True,
        "expires": "1970-01-01T00:33:20.000Z",
    }
    assert package_access.post("/api/v1/repositories/refresh").json["repositories"] == [one]
    packages.held["refresh", "repositories"] = Deferred()
    answer = package_access.post("/api/v1/repositories/refresh?wait=no")
    assert (answer.status, answer.json["kind"]) == (202, "refresh")


def test_who_may_not_change_anything_refreshes_nothing(package_access, packages):
    assert package_access.post("/api/v1/repositories/refresh", token=False).status == 401
    assert package_access.post(f"{BASE}/plugin/demo/install", token=False).status == 401
    assert not packages.queue.all()


def test_an_upload_is_taken_into_the_local_repository(package_access, packages, tmp_path):
    answer = package_access.post(f"{BASE}/upload", body=ARCHIVE)
    assert answer.status == 201
    assert answer.json == {
        "fullname": "plugin-demo",
        "type": "plugin",
        "id": "demo",
        "release": "1.0",
    }
    assert answer.headers["location"] == f"{BASE}/plugin-demo"
    assert packages.uploaded == [ARCHIVE]
    assert list((tmp_path / "uploads").iterdir()) == []


def test_an_upload_that_is_no_archive_is_a_problem(package_access, packages):
    answer = package_access.post(f"{BASE}/upload", body=b"nonsense")
    assert answer.status == answer.json["status"] == 422
    assert package_access.post(f"{BASE}/upload").status == 400


def test_a_chunked_upload_comes_whole(package_access, packages):
    connection = package_access.connect()
    connection.send(UPLOAD + TOKEN + b"Transfer-Encoding: chunked\r\n\r\n")
    for chunk in (b"4\r\n\x1f\x8b p\r\n", b"e\r\nlugin-demo-1.0\r\n", b"0\r\n\r\n"):
        connection.send(chunk)
    assert connection.response().status == 201
    assert packages.uploaded == [b"\x1f\x8b plugin-demo-1.0"]


def uploads(tmp_path) -> int:
    return len(list((tmp_path / "uploads").iterdir()))


def test_who_may_not_upload_is_refused_before_a_byte_is_kept(package_access, tmp_path):
    connection = package_access.connect()
    connection.send(UPLOAD + b"Content-Length: 1000000\r\n\r\n")
    assert connection.response().status == 401
    assert "www-authenticate" in connection.response().headers
    connection.send(b"x" * 1000)
    assert uploads(tmp_path) == 0


def test_too_large_an_upload_is_refused_before_it_is_sent(package_access, tmp_path):
    connection = package_access.connect()
    connection.send(UPLOAD + TOKEN + b"Content-Length: %d\r\n\r\n" % (MAX_UPLOAD + 1))
    assert connection.response().status == 413
    connection.leave()
    assert uploads(tmp_path) == 0


def test_an_upload_that_grows_too_large_is_refused(package_access, tmp_path, monkeypatch):
    monkeypatch.setattr("domogik.api.http.wire.MAX_UPLOAD", 1000)
    connection = package_access.connect()
    connection.send(UPLOAD + TOKEN + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(3):
        connection.send(b"1f4\r\n%s\r\n" % (b"x" * 500))
    assert connection.response().status == 413
    connection.leave()
    assert uploads(tmp_path) == 0


def test_who_leaves_in_the_middle_leaves_nothing_behind(package_access, packages, tmp_path):
    connection = package_access.connect()
    connection.send(UPLOAD + TOKEN + b"Content-Length: 1000\r\n\r\nabc")
    assert uploads(tmp_path) == 1
    connection.leave()
    assert uploads(tmp_path) == 0
    assert packages.uploaded == []


def test_an_upload_has_to_come_to_an_end(package_access, tmp_path):
    connection = package_access.connect()
    connection.send(UPLOAD + TOKEN + b"Content-Length: 1000\r\n\r\n")
    for _ in range(int(UPLOAD_TIMEOUT / 50) + 1):
        connection.send(b"x")
        package_access.clock.advance(50)
    assert connection.response().status == 408
    connection.leave()
    assert uploads(tmp_path) == 0


def test_only_some_uploads_are_let_in_together(package_access):
    head = UPLOAD + TOKEN + b"Content-Length: 1000\r\n\r\n"
    connections = [package_access.connect() for _ in range(MAX_UPLOADS + 1)]
    for connection in connections:
        connection.send(head)
    assert connections[-1].response().status == 503
    assert connections[0].received == b""
    connections[0].leave()
    late = package_access.connect()
    late.send(head)
    assert late.received == b""
    for connection in (*connections[1:], late):
        connection.leave()


def test_where_an_upload_cannot_be_kept_it_is_said_so(make_door, tmp_path):
    door = make_door(packages=FakePackages(), uploads=tmp_path / "nowhere")
    connection = door.connect()
    connection.send(UPLOAD + TOKEN + b"Content-Length: 1000\r\n\r\n")
    assert connection.response().status == 507


def test_a_disk_that_fills_during_an_upload_is_said_and_nothing_is_left(
    make_door, tmp_path, monkeypatch
):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "uploads").mkdir()
    door = make_door(packages=FakePackages(), uploads=tmp_path / "uploads")
    connection = door.connect()
    connection.send(UPLOAD + TOKEN + b"Content-Length: 1000\r\n\r\n")
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        connection.send(b"x" * 500)
    response = connection.response()
    assert response.status == 507
    assert b"No space left on device" in response.body
    connection.leave()
    assert uploads(tmp_path) == 0


def test_a_client_that_does_not_read_a_file_is_dropped(package_access, packages, tmp_path):
    from domogik.api.http.files import STALL_TIMEOUT

    path = tmp_path / "archive"
    path.write_bytes(b"x" * 1_000_000)
    packages.archives[PackageRef("plugin", "demo", "1.0")] = path
    connection = package_access.connect()
    write = connection.transport.write

    def full(data: bytes) -> None:
        write(data)
        if connection.transport.producer is not None:
            connection.transport.producer.pauseProducing()

    connection.transport.write = full
    connection.send(b"GET /package/download/plugin/demo/1.0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    sent = len(connection.received)
    assert 0 < sent < 200_000
    connection.transport.producer.resumeProducing()
    assert len(connection.received) > sent
    package_access.clock.advance(STALL_TIMEOUT)
    assert connection.dropped


def test_a_package_that_nobody_knows_offers_the_nearest_name(package_access, packages):
    answer = package_access.get(f"{BASE}/plugin-demmo")
    assert answer.status == 404
    assert answer.json["detail"] == (
        "No package 'plugin-demmo' is installed or offered. Did you mean demo?"
    )
