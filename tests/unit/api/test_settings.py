"""What `[rest]` may say."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from pathlib import Path

import pytest

from domogik.api.settings import RestSettings
from domogik.config.load import BrokenConfiguration, load

ROOT = Path(__file__).parents[3]


@pytest.fixture
def settings(tmp_path: Path):
    def read(text: str) -> RestSettings:
        path = tmp_path / "domogik.cfg"
        path.write_text(f"[rest]\n{text}\n", "utf-8")
        return RestSettings.from_configuration(load([path]))

    return read


def test_without_a_word_it_listens_on_loopback_for_nobody_else(settings):
    assert settings("") == RestSettings("127.0.0.1", 40405, False, None, (), frozenset())


def test_every_key_is_read(settings):
    found = settings(
        "rest_server_ip = 10.0.0.1\nrest_server_port = 0\nrest_use_ssl = True\n"
        "rest_ssl_certificate = /etc/x.pem\ntrusted_clients = 10.0.0.9, 10.1.0.0/16\n"
        "jsonp_origins = HTTP://Page.example:8080/ https://b.example:443\n"
    )
    assert found == RestSettings(
        "10.0.0.1",
        0,
        True,
        Path("/etc/x.pem"),
        (ipaddress.ip_network("10.0.0.9/32"), ipaddress.ip_network("10.1.0.0/16")),
        frozenset({"http://page.example:8080", "https://b.example"}),
    )


@pytest.mark.parametrize(
    "line",
    [
        "rest_server_ip = nowhere",
        "rest_server_port = 70000",
        "rest_server_port = x",
        "rest_use_ssl = perhaps",
        "rest_use_ssl = yes",
        "trusted_clients = kitchen",
        "jsonp_origins = page.example",
        "jsonp_origins = *",
    ],
)
def test_what_cannot_be_meant_is_refused_with_file_and_line(settings, line):
    with pytest.raises(BrokenConfiguration, match=r"domogik\.cfg:2: "):
        settings(line)


def test_tls_costs_nothing_where_nobody_asked_for_it():
    """The libraries are 12 MiB of memory and a fifth of the start."""
    script = "import domogik.api.site, sys; print('OpenSSL' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert said.stdout == "False\n"
