"""The description is what is there: no more, no less."""

from __future__ import annotations

from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from domogik.components.model import State
from domogik.manager.packages.interfaces import RepositoryInfo
from domogik.packages.needs.dependencies import DependencyState
from domogik.testing.all_hosts import plugin
from domogik.testing.packages import offer

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")


@pytest.fixture
def document(door):
    return door.get("/api/v1/openapi.json").json


def test_the_document_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


#: what stands in the place of names
REAL = {"{id}": "demo", "{key}": "x", "{type}": "plugin", "{fullname}": "plugin-demo"}


def test_every_operation_of_the_document_is_served_and_no_other(package_access, document):
    """Asked of the server itself, method by method, not of the table the document is made of."""
    door = package_access
    door.all_hosts.put(plugin("demo"))
    door.packages.offer(offer("demo", "1.0"), offer("demo", "2.0"))
    for path, operations in document["paths"].items():
        for method in METHODS:
            for release in ("1.0", "2.0"):
                door.post(f"/api/v1/packages/plugin/demo/install?release={release}")
            real = path.replace("{job}", str(door.all_hosts.jobs()[0].id))
            for name, value in REAL.items():
                real = real.replace(name, value)
            connection = door.open(method, real, token=True)
            status = connection.response().status
            connection.leave()
            if method.lower() in operations:
                assert status not in (404, 405, 500), (method, path)
            else:
                assert status == 405, (method, path)


def test_every_route_is_in_the_document(door, document):
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    table = [one.operation for one in door.site.resource._v1.served]
    served = {(operation.method, operation.path) for operation in table}
    assert described == served
    assert len(served) == len(table)


def test_the_contract_s_paths_are_there(document):
    for path in (
        "/api/v1/components",
        "/api/v1/components/{id}",
        *(
            f"/api/v1/components/{{id}}/{verb}"
            for verb in ("start", "stop", "restart", "enable", "disable", "logs")
        ),
        "/api/v1/hosts",
        "/api/v1/packages",
        *(
            f"/api/v1/packages/{{type}}/{{id}}/{verb}"
            for verb in ("install", "update", "rollback", "uninstall", "hold", "unhold")
        ),
        "/api/v1/repositories",
        "/api/v1/jobs",
        "/api/v1/upgrade",
        "/api/v1/events",
        "/api/v1/openapi.json",
        "/metrics",
    ):
        assert path in document["paths"]


def test_answers_have_the_shape_that_is_described(package_access, document):
    from jsonschema import Draft202012Validator

    door = package_access
    door.all_hosts.put(plugin("demo", state=State.ALIVE, pid=7))
    packages = door.packages
    packages.offer(offer("demo", "1.0"), offer("demo", "2.0", icon=Path("icon.png"), sha256="ab"))
    packages.sources.append(RepositoryInfo("http://repository.example", 500, 1000.0, 2, "slow"))
    packages.states["plugin-demo"] = (DependencyState("python", "six (>=1.0)", True, "1.17"),)
    door.post("/api/v1/packages/plugin/demo/install?release=1.0")
    asked = {
        "/api/v1/components": "ComponentList",
        "/api/v1/components/demo": "Component",
        "/api/v1/components/demo/config": "Configuration",
        "/api/v1/hosts": "HostList",
        "/api/v1/packages": "PackageList",
        "/api/v1/packages/offers": "OfferList",
        "/api/v1/packages/plugin-demo": "PackageDetail",
        "/api/v1/packages/plugin/demo/dependencies": "DependencyList",
        "/api/v1/repositories": "RepositoryList",
        "/api/v1/jobs": "JobList",
        "/api/v1/jobs/1": "Job",
        "/api/v1/components/nobody": "Problem",
    }
    for path, name in asked.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(door.get(path).json)


def test_what_changes_something_is_marked_as_needing_the_token(document):
    for operations in document["paths"].values():
        for method, told in operations.items():
            is_open = method == "get" and told["operationId"] != "getCredentials"
            assert (told["security"] == [{"token": []}]) is not is_open


def test_the_document_is_encoded_once(door):
    answers = [door.site.resource._v1._description, door.get("/api/v1/openapi.json")]
    kept = door.site.resource._v1._description
    assert answers[0] is None
    assert kept.body == door.get("/api/v1/openapi.json").body
    assert door.site.resource._v1._description is kept


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/components?kind=",
        "/api/v1/components?kind=lamp",
        "/api/v1/packages?type=",
        "/api/v1/packages/offers?type=",
        "/api/v1/events?last_event_id=",
        "/api/v1/packages/plugin/demo/dependencies?release=../x",
    ],
)
def test_what_the_document_does_not_allow_in_a_query_is_refused(package_access, path):
    assert package_access.get(path).status == 400


@pytest.mark.parametrize("file", ["", ".hidden", "../x", "-x", "a" * 101, "a%0A"])
def test_a_backup_s_name_is_refused_by_the_rule_that_is_told(door, document, file):
    for verb, is_required in (("backup", False), ("restore", True)):
        path = f"/api/v1/components/{{id}}/{verb}"
        (told,) = (
            one for one in document["paths"][path]["post"]["parameters"] if one["name"] == "file"
        )
        assert told["schema"]["pattern"] == "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
        assert told.get("required", False) is is_required
        assert door.post(f"/api/v1/components/demo/{verb}?file={file}").status == 400
    assert door.post("/api/v1/components/demo/restore").status == 400


def test_a_host_that_was_never_heard_is_not_found(package_access):
    for path in ("components", "packages"):
        answer = package_access.get(f"/api/v1/{path}?host=vn")
        assert answer.status == 404
        assert answer.json["detail"].startswith("No host vn was ever heard")
        assert package_access.get(f"/api/v1/{path}?host=vm").status == 200


def test_each_name_of_a_path_says_what_it_can_be(document):
    for path, operations in document["paths"].items():
        for described in operations.values():
            for told in described.get("parameters", ()):
                if told["in"] == "path":
                    assert {"pattern", "enum", "minimum"} & set(told["schema"]), (path, told)


def test_an_archive_is_sent_as_bytes_under_two_names_and_in_no_form(package_access, document):
    upload = document["paths"]["/api/v1/packages/upload"]["post"]
    assert list(upload["requestBody"]["content"]) == [
        "application/octet-stream",
        "application/gzip",
    ]
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = package_access.post("/api/v1/packages/upload", headers=form, body=b"--x--")
    assert answer.status == 415
    assert "--data-binary" in answer.json["detail"]
    assert "415" in upload["responses"]


def test_a_stored_value_is_sent_alone(door):
    door.all_hosts.put(plugin("demo"))
    path = "/api/v1/components/demo/config/key"
    assert door.ask("PUT", path, token=True, body=b'{"value": "1", "more": 2}').status == 400
