"""What every daemon stands on is checked before anything starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from domogik.app.parts import foundation
from domogik.app.parts.foundation import CannotStart, Foundation
from domogik.storage.values import path_of


@pytest.fixture(autouse=True)
def _no_system_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foundation, "SYSTEM_FILE", tmp_path / "etc" / "domogik.cfg")


def load(home: Path, text: str | None = None, **options: str) -> Foundation:
    if text is not None:
        home.mkdir(mode=0o700, exist_ok=True)
        (home / "domogik.cfg").write_text(text)
    return Foundation.load({"home": str(home), **options}, {})


def test_an_empty_home_is_made_and_works(tmp_path: Path) -> None:
    laid = load(tmp_path / "home")
    assert (tmp_path / "home" / "admin.token").exists()
    assert laid.settings.package_mode
    assert laid.settings.hub == "auto"
    assert laid.network.hub_address == ("127.0.0.1", 3865)
    assert laid.notices == ()
    assert laid.database_url() == f"sqlite:///{tmp_path}/home/data/domogik.db"


def test_the_homes_file_goes_over_the_systems_key_by_key(tmp_path: Path) -> None:
    system = tmp_path / "etc" / "domogik.cfg"
    system.parent.mkdir()
    system.write_text("[domogik]\nhostname = fromsystem\nxpl_port = 4000\n")
    laid = load(tmp_path / "home", "[domogik]\nhostname = fromhome\n")
    assert laid.settings.hostname == "fromhome"
    assert laid.network.xpl_port == 4000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[domogik]\nhub = sometimes\n", "domogik.cfg:2: hub"),
        ("[domogik]\n\nxpl_port = 70000\n", "domogik.cfg:3: xpl_port"),
        ("[domogik]\nbind_interface = localhost\n", "domogik.cfg:2: bind_interface"),
        ("[domogik]\nhostname = My-Host\n", "domogik.cfg:2: hostname"),
        ("[domogik]\nxpl_trusted = 10.0.0.0/99\n", "xpl_trusted"),
        ("[domogik]\nlog_level = loud\n", "domogik.cfg:2: log_level"),
        ("[domogik\n", "domogik.cfg:1"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(CannotStart) as refused:
        load(tmp_path / "home", text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_named_configuration_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="--config names a file that exists"):
        load(tmp_path / "home", config=str(tmp_path / "elsewhere.cfg"))


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match="choose another --home"):
        load(tmp_path / "file" / "home")


def test_unknown_keys_are_told_with_their_place(tmp_path: Path) -> None:
    laid = load(tmp_path / "home", "[domogik]\nbroadcsat = 1.2.3.4\n[bogus]\n")
    assert [notice.partition(": ")[0] for notice in laid.complaints()] == [
        f"{tmp_path}/home/domogik.cfg:3",
        f"{tmp_path}/home/domogik.cfg:2",
    ]


def test_development_mode_is_src_prefix_without_package_path(tmp_path: Path) -> None:
    text = "[domogik]\nsrc_prefix = /a/src, packages\n"
    laid = load(tmp_path / "home", text)
    assert not laid.settings.package_mode
    assert laid.settings.src_prefixes == (Path("/a/src"), tmp_path / "home" / "packages")
    assert load(tmp_path / "home", f"{text}package_path = /var/lib/domogik\n").settings.package_mode
    assert not load(tmp_path / "home", f"{text}package_path =\n").settings.package_mode


def test_uncommenting_package_path_in_the_generated_file_switches_package_mode_on(
    tmp_path: Path,
) -> None:
    load(tmp_path / "home")
    file = tmp_path / "home" / "domogik.cfg"
    text = re.sub(r"(?m)^# (package_path = )", r"\1", file.read_text())
    text = text.replace("# src_prefix =", "src_prefix = /src")
    assert load(tmp_path / "home", text).settings.package_mode
    assert load(tmp_path / "home", text).settings.notices == ()


def test_logs_and_pid_files_go_where_the_configuration_says(tmp_path: Path) -> None:
    laid = load(tmp_path / "home", "[domogik]\nlog_dir_path = /var/log/x\npid_dir_path = /run/x\n")
    assert laid.log_directory == Path("/var/log/x")
    assert laid.pid_file == Path("/run/x/manager.pid")


def test_the_database_of_a_home_with_an_odd_name_lies_in_it(tmp_path: Path) -> None:
    home = tmp_path / "100% mine"
    assert path_of(load(home).database_url()) == home / "data" / "domogik.db"
