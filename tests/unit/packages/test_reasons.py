"""Why a server was not reached, in words for a person."""

import errno

from twisted.internet.error import DNSLookupError, getConnectError

from domogik.packages.http.reasons import unconnected


def test_no_number_of_the_system_is_shown() -> None:
    error = getConnectError((errno.ENETUNREACH, "Network is unreachable"))
    assert unconnected(error) == "Network is unreachable"
    assert unconnected(DNSLookupError("no results for repo.invalid.")).endswith("repo.invalid")
