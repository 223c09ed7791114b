"""SCRAM-SHA-256: what the RFC computes, and whatever a stranger answers."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.daemons.postgres.scram import BadExchange, Exchange, prepared, verifier

# RFC 7677, section 3
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.binary(min_size=1))
def test_who_keeps_the_verifier_is_convinced_by_the_password_alone(
    password: str, salt: bytes
) -> None:
    """The server's half of RFC 5802, section 3."""
    stored, server = verifier(password, salt, 2).split("$")[2].split(":")
    exchange = Exchange(password, "ours")
    assert exchange.first == b"n,,n=,r=ours"
    challenge = f"r=ours+and,s={base64.b64encode(salt).decode()},i=2"
    without_proof, _, proof = exchange.final(challenge.encode()).decode().rpartition(",p=")
    assert without_proof == "c=biws,r=ours+and"
    message = f"n=,r=ours,{challenge},{without_proof}".encode()
    signature = hmac.digest(base64.b64decode(stored), message, "sha256")
    pairs = zip(base64.b64decode(proof), signature, strict=True)
    key = bytes(a ^ b for a, b in pairs)
    assert hashlib.sha256(key).digest() == base64.b64decode(stored)
    answer = hmac.digest(base64.b64decode(server), message, "sha256")
    exchange.check(b"v=" + base64.b64encode(answer))


def test_the_verifier_has_the_keys_of_the_rfc() -> None:
    kept = verifier("pencil", SALT)
    assert kept == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize(
    ("password", "octets"),
    [
        ("user", b"user"),
        ("I\u00adX", b"IX"),  # these five are the examples of RFC 4013, section 3
        ("USER", b"USER"),
        ("\u00aa", b"a"),
        ("\u2168", b"IX"),
        ("a\u00a0b", b"a b"),
        ("\u0007", b"\x07"),  # ASCII is taken as it is
        ("\u00e9\u0007", "\u00e9\u0007".encode()),  # forbidden: as it is
        ("\u06271", "\u06271".encode()),
    ],
)
def test_a_password_is_prepared_as_postgresql_does(password: str, octets: bytes) -> None:
    assert prepared(password) == octets


@given(st.text())
def test_any_password_has_octets(password: str) -> None:
    if not any("\ud800" <= letter <= "\udfff" for letter in password):
        assert isinstance(prepared(password), bytes)


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"\xff",
        b"r=other,s=AAAA,i=4096",
        b"r=ours,s=AAAA,i=4096",
        b"r=oursandtheirs,s=AAAA",
        b"r=oursandtheirs,s=*,i=4096",
        b"r=oursandtheirs,s=AAAA,i=x",
        b"r=oursandtheirs,s=AAAA,i=0",
        b"r=oursandtheirs,s=AAAA,i=100000000",
    ],
)
def test_a_challenge_that_is_none_is_refused(challenge: bytes) -> None:
    with pytest.raises(BadExchange):
        Exchange("secret", "ours").final(challenge)


@given(st.binary())
def test_whatever_is_answered_is_refused_or_taken(challenge: bytes) -> None:
    exchange = Exchange("secret", "ours")
    for step in (exchange.final, exchange.check):
        with pytest.raises(BadExchange):
            step(challenge)


def test_a_server_that_does_not_know_the_password_is_refused() -> None:
    exchange = Exchange("secret", "ours")
    exchange.final(b"r=oursandtheirs,s=AAAA,i=1")
    with pytest.raises(BadExchange):
        exchange.check(b"v=" + base64.b64encode(bytes(32)))
    with pytest.raises(BadExchange):
        exchange.check(b"e=invalid-proof")
