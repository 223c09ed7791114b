"""One wrong entry of a configuration refuses itself and nothing else."""

import pytest

from domogik.app.parts.configuration import findings, readers
from domogik.config.check import drop_refused_entries
from domogik.config.home import Home
from domogik.config.load import load


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[domogik]\nhub = internal\n", 2),
        ("[domogik]\nhostname = UPPER CASE\n", 2),
        ("[domogik]\nbind_interface = eth0\n", 2),
        ("[domogik]\nxpl_port = 70000\n", 2),
        ("[domogik]\nxpl_trusted = everybody\n", 2),
        ("[rest]\nrest_server_port = x\n", 2),
        ("[rest]\nrest_use_ssl = yes\n", 2),
        ("[rest]\ntrusted_clients = all\n", 2),
        ("[database]\nurl = oracle://x\n", 2),
        ("[plugins]\nlamp = on\n", 2),
        ("[supervision]\nrestart = never\n", 2),
        ("[component:plugin:lamp]\nnice = 99\n", 2),
        ("[component:core:rest]\nstop_signal = BREAK\n", 2),
        ("[daemon:cache]\n", 1),
        ("[daemon:cache]\nkind = reddis\n", 2),
        ("[daemon:cache]\nkind = redis\nport = -1\n", 3),
        ("[unit:web]\n", 1),
        ("[unit:web]\nunit = nginx\nlisten_ports = none\n", 3),
        ("[plugins\n", 1),
        ("[plugins]\nlamp\n", 2),
    ],
)
def test_what_cannot_be_meant_is_found_with_its_line_and_the_rest_holds(tmp_path, text, line):
    file = tmp_path / "domogik.cfg"
    file.write_text(f"{text}[plugins]\nclock = enabled\n")
    (broken,), odd = findings([file], Home(tmp_path))
    assert (broken.path, broken.line, odd) == (file, line, [])
    assert str(broken).startswith(f"{file}:{line}: ")
    if broken.section:
        good, (refused,) = drop_refused_entries(load([file]), readers(Home(tmp_path)))
        assert str(refused) == str(broken)
        assert good.get("plugins", "clock").text() == "enabled"


def test_all_that_is_wrong_is_found_at_once(tmp_path):
    file = tmp_path / "domogik.cfg"
    file.write_text(
        "[daemon:a]\nkind = x\n[daemon:b]\nkind = y\n[component:plugin:c]\nnice = 99\n"
        "restart = never\nno equals\n[plugins\nlost = enabled\n[odd]\n"
    )
    broken, odd = findings([file], Home(tmp_path))
    assert sorted(one.line for one in broken) == [2, 4, 6, 7, 8, 9]
    assert odd == [f"{file}:11: no section [odd] is known; it is ignored"]


def test_what_was_there_before_stays_where_it_is_still_taken(tmp_path):
    file = tmp_path / "domogik.cfg"
    file.write_text("[rest]\nrest_server_port = 1\n[daemon:a]\nkind = redis\nport = 6000\n")
    before = load([file])
    file.write_text("[rest]\nrest_server_port = x\n[daemon:a]\nkind = redis\nport = y\n")
    good, refused = drop_refused_entries(load([file]), readers(Home(tmp_path)), before)
    assert len(refused) == 2
    assert good.get("rest", "rest_server_port").text() == "1"
    assert good.get("daemon:a", "port").text() == "6000"
