"""SCRAM-SHA-256, as PostgreSQL asks for a password and keeps it: arithmetic only.

RFC 5802 and 7677; the verifier's form is that of `pg_authid.rolpassword` (PostgreSQL 15, 53.8).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import stringprep
import unicodedata

import attrs

from domogik.errors import DomogikError

ITERATIONS = 4096
_MOST_ITERATIONS = 100_000  # a server that asks for more would stop us for a second


class BadExchange(DomogikError):
    """The other side does not speak SCRAM, or does not know the password."""


def prepared(password: str) -> bytes:
    """SASLprep (RFC 4013); like PostgreSQL, the text as it is where that forbids it."""
    if password.isascii():
        return password.encode()
    mapped = "".join(
        " " if stringprep.in_table_c12(letter) else letter
        for letter in password
        if not stringprep.in_table_b1(letter)
    )
    text = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not text or any(_is_prohibited(letter) for letter in text) or _is_mixed(text):
        return password.encode()
    return text.encode()


def _is_prohibited(letter: str) -> bool:
    return (
        stringprep.in_table_a1(letter)
        or stringprep.in_table_c12(letter)
        or stringprep.in_table_c21_c22(letter)
        or stringprep.in_table_c3(letter)
        or stringprep.in_table_c4(letter)
        or stringprep.in_table_c5(letter)
        or stringprep.in_table_c6(letter)
        or stringprep.in_table_c7(letter)
        or stringprep.in_table_c8(letter)
        or stringprep.in_table_c9(letter)
    )


def _is_mixed(text: str) -> bool:
    """Whether letters that run to the left stand where RFC 3454 6 does not allow them."""
    if not any(map(stringprep.in_table_d1, text)):
        return False
    is_embraced = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return not is_embraced or any(map(stringprep.in_table_d2, text))


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What a server keeps instead of the password."""
    keys = _Keys.of(password, salt, iterations)
    stored = base64.b64encode(keys.stored).decode()
    server = base64.b64encode(keys.server).decode()
    return f"SCRAM-SHA-256${iterations}:{base64.b64encode(salt).decode()}${stored}:{server}"


@attrs.frozen
class _Keys:
    client: bytes
    stored: bytes
    server: bytes

    @classmethod
    def of(cls, password: str, salt: bytes, iterations: int) -> _Keys:
        salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)
        client = _hmac(salted, b"Client Key")
        return cls(client, hashlib.sha256(client).digest(), _hmac(salted, b"Server Key"))


@attrs.define(eq=False)
class Exchange:
    """The client's part: `first`, `final`, then `check`. `nonce` is random, printable, no comma."""

    _password: str
    _nonce: str
    _signature: bytes = b""

    @property
    def _bare(self) -> str:
        return f"n=,r={self._nonce}"  # PostgreSQL takes the user of its own startup packet

    @property
    def first(self) -> bytes:
        """What is said first."""
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """What is said to the server's `challenge`; raises `BadExchange`."""
        said = _attributes(challenge)
        nonce = said.get("r", "")
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce):
            raise BadExchange("its answer belongs to another question")
        try:
            salt, iterations = base64.b64decode(said["s"], validate=True), int(said["i"])
        except (KeyError, ValueError, binascii.Error):
            raise BadExchange("its answer has no salt or no iterations") from None
        if not 1 <= iterations <= _MOST_ITERATIONS:
            raise BadExchange(f"it asks for {iterations} iterations")
        keys = _Keys.of(self._password, salt, iterations)
        without_proof = f"c=biws,r={nonce}"
        everything = f"{self._bare},{challenge.decode()},{without_proof}".encode()
        signature = _hmac(keys.stored, everything)
        proof = bytes(a ^ b for a, b in zip(keys.client, signature, strict=True))
        self._signature = _hmac(keys.server, everything)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def check(self, outcome: bytes) -> None:
        """Whether the server knows the password too; raises `BadExchange`."""
        try:
            signature = base64.b64decode(_attributes(outcome).get("v", ""), validate=True)
        except (ValueError, binascii.Error):
            signature = b""
        if not self._signature or not hmac.compare_digest(signature, self._signature):
            raise BadExchange("it does not know the password itself")


def _attributes(message: bytes) -> dict[str, str]:
    try:
        text = message.decode()
    except UnicodeDecodeError:
        raise BadExchange("its answer is no text") from None
    return dict(part.partition("=")[::2] for part in text.split(","))


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
