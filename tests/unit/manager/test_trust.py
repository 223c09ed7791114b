"""Whose orders are obeyed: this host's, its network's, and those of who is named."""

from ipaddress import ip_network

import pytest

from domogik.manager.trust import InvalidNetwork, Trust, interface_networks

INTERFACES = {
    "127.0.0.1": ip_network("127.0.0.0/8"),
    "192.168.1.10": ip_network("192.168.1.0/24"),
    "10.0.0.5": ip_network("10.0.0.0/8"),
}


def trust(bind="127.0.0.1", *named):
    return Trust(bind, named, lambda: INTERFACES)


def test_this_process_and_every_address_of_this_host_are_obeyed():
    here = trust()
    for address in (None, "127.0.0.1", "127.9.9.9", "192.168.1.10", "10.0.0.5"):
        assert here.allows(address), address
    assert here.refused == 0


def test_on_loopback_nobody_else_is():
    here = trust()
    for address in ("192.168.1.11", "10.0.0.6", "8.8.8.8", "::1"):
        assert not here.allows(address), address
    assert here.refused == 4


def test_on_an_interface_its_network_is_and_no_other():
    here = trust("192.168.1.10")
    assert here.allows("192.168.1.77")
    assert not here.allows("10.0.0.6")


def test_on_every_interface_all_their_networks_are():
    here = trust("0.0.0.0")
    assert here.allows("192.168.1.77")
    assert here.allows("10.200.0.1")
    assert not here.allows("8.8.8.8")


def test_who_is_named_is_obeyed_by_address_or_network():
    here = trust("127.0.0.1", "192.0.2.7", "198.51.100.0/24", "2001:db8::/32")
    assert here.allows("192.0.2.7")
    assert here.allows("198.51.100.200")
    assert here.allows("2001:db8::1")
    assert not here.allows("192.0.2.8")


def test_a_star_is_everybody():
    assert trust("127.0.0.1", "*").allows("8.8.8.8")


def test_what_is_no_address_is_refused_and_counted():
    here = trust()
    assert not here.allows("somewhere")
    assert not here.allows("")
    assert here.refused == 2


@pytest.mark.parametrize("word", ["kitchen", "192.0.2", "192.0.2.0/99", ""])
def test_a_word_that_is_no_network_is_an_error(word):
    with pytest.raises(InvalidNetwork, match="xpl_trusted"):
        trust("127.0.0.1", word)


def test_an_address_that_came_after_the_start_is_ours_too():
    interfaces = dict(INTERFACES)
    here = Trust("0.0.0.0", (), lambda: interfaces)
    assert not here.allows("172.16.0.9")
    interfaces["172.16.0.9"] = ip_network("172.16.0.0/24")
    assert here.allows("172.16.0.9")
    assert here.is_own("172.16.0.9")
    assert here.refused == 1


def test_what_is_ours_is_known():
    here = trust()
    assert here.is_own("192.168.1.10")
    assert here.is_own("127.0.0.1")
    assert not here.is_own("192.168.1.11")


def test_this_computer_has_a_loopback_interface():
    assert "127.0.0.1" in interface_networks()


def test_who_is_named_can_change() -> None:
    trust = Trust("127.0.0.1", (), dict)
    assert not trust.allows("10.0.0.1")
    trust.update_settings(["10.0.0.0/8"])
    assert trust.allows("10.0.0.1")
    with pytest.raises(InvalidNetwork):
        trust.update_settings(["everybody"])
    assert trust.allows("10.0.0.1")
    trust.update_settings([])
    assert not trust.allows("10.0.0.1")
