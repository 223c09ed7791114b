"""Units in the configuration."""

from __future__ import annotations

import pytest

from domogik.config.keys import KNOWN
from domogik.config.load import BrokenConfiguration, load
from domogik.units import Daemon, RelatedDaemon, SharedDaemon
from domogik.units.settings import UnitSettings, make_apps, read_units


@pytest.fixture
def configured(tmp_path):
    def read(text):
        path = tmp_path / "domogik.cfg"
        path.write_text(text)
        return read_units(load([path]))

    return read


FULL = """[unit:web]
unit = nginx.service
listen_ports = 8080/tcp4, 53/udp 80
alias = old-nginx
strict_check = yes
role = shared
app = camera
"""


def test_every_key_is_read_and_known(configured, tmp_path):
    (unit,) = configured(FULL)
    assert unit == UnitSettings(
        "web",
        "nginx.service",
        ((8080, "tcp4"), (53, "udp"), (80, "tcp")),
        "old-nginx",
        True,
        "shared",
        "camera",
    )
    assert load([tmp_path / "domogik.cfg"]).unknown(KNOWN) == []
    assert str(unit.id) == "unit:web"
    assert unit.unit_names == ("nginx.service", "old-nginx.service")


def test_a_unit_alone_will_do_and_is_its_own_app(configured):
    (unit,) = configured("[unit:web]\nunit = nginx\nalias =\n")
    assert unit == UnitSettings("web", "nginx", app="web")


@pytest.mark.parametrize(
    ("role", "kind", "component_id"),
    [
        ("daemon", Daemon, "daemon-web"),
        ("related", RelatedDaemon, "related-daemon-web"),
        ("shared", SharedDaemon, "shared-daemon-web"),
    ],
)
def test_a_role_is_a_component(configured, role, kind, component_id):
    (unit,) = configured(f"[unit:web]\nunit = nginx\nrole = {role}\n")
    component = unit.component()
    assert type(component) is kind
    assert (component.component_id, unit.component_id) == (component_id, component_id)


def test_a_component_has_what_the_section_says(configured):
    daemon = configured(FULL)[0].component()
    assert (daemon.unit, daemon.alias, daemon.strict_check) == ("nginx.service", "old-nginx", True)
    assert daemon.listen_ports == [(8080, "tcp4"), (53, "udp"), (80, "tcp")]


def test_sections_of_one_app_are_its_components_in_their_order(configured):
    apps = make_apps(
        configured(
            "[unit:b]\nunit = b\napp = camera\n[unit:c]\nunit = c\n"
            "[unit:a]\nunit = a\napp = camera\nrole = shared\n"
        )
    )
    assert [(app.app_id, list(app.components)) for app in apps] == [
        ("camera", ["daemon-b", "shared-daemon-a"]),
        ("c", ["daemon-c"]),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\n[unit:web]\n", 2, "needs a unit"),
        ("[unit:web]\nrole = daemon\n", 1, "needs a unit"),
        ("[unit:a b]\nunit = x\n", 1, "must be named"),
        ("[unit:web]\nunit = a*\n", 2, "must be the name of one systemd unit"),
        ("[unit:web]\nunit = web@.service\n", 2, "must be the name of one systemd unit"),
        ("[unit:web]\nunit = x\nalias = a/b\n", 3, "must be the name of one systemd unit"),
        ("[unit:web]\nunit = x\nlisten_ports = 80/sctp\n", 3, "must be ports such as"),
        ("[unit:web]\nunit = x\nlisten_ports = 0/tcp\n", 3, "must be ports such as"),
        ("[unit:web]\nunit = x\nlisten_ports = ²/tcp\n", 3, "must be ports such as"),
        ("[unit:web]\nunit = x\nlisten_ports = /tcp\n", 3, "must be ports such as"),
        ("[unit:web]\nunit = x\nstrict_check = maybe\n", 3, "must be yes or no"),
        ("[unit:web]\nunit = x\nrole = boss\n", 3, "must be daemon, related or shared"),
        ("[unit:web]\nunit = x\napp = a b\n", 3, "must be at most 64"),
        ("[unit:web]\nunit = x\nrole = related\nalias = y\n", 4, "must be left out"),
    ],
)
def test_what_cannot_be_meant_is_told_with_file_and_line(configured, tmp_path, text, line, words):
    with pytest.raises(BrokenConfiguration, match=words) as broken:
        configured(text)
    assert (broken.value.path, broken.value.line) == (tmp_path / "domogik.cfg", line)
