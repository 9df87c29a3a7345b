"""JSON Web Tokens signed with RS256: what is issued here is also verified here."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from emulator.store import Store

KEY_BITS = 2048


class BadToken(Exception):
    """The text is no token, or another key signed it."""


class Signer:
    """Sign and read tokens with one RSA key, made on first use and kept in the store under `name`."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        """Return the private key."""
        text = self._store.remember(self._name, _new_key)
        key = serialization.load_pem_private_key(text.encode(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError(f"The stored key {self._name} is not an RSA key")
        return key

    @cached_property
    def key_id(self) -> str:
        """Return the name of the key that tokens carry."""
        return _encode(hashlib.sha256(_bytes(self._numbers.n)).digest())[:27]

    @property
    def _numbers(self) -> rsa.RSAPublicNumbers:
        return self.key.public_key().public_numbers()

    def public_key(self) -> dict[str, str]:
        """Return the public key as a member of a JSON Web Key Set."""
        numbers = self._numbers
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.key_id,
            "n": _encode(_bytes(numbers.n)),
            "e": _encode(_bytes(numbers.e)),
        }

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the claims as a signed token."""
        header = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        content = f"{_encode(orjson.dumps(header))}.{_encode(orjson.dumps(dict(claims)))}"
        signature = self.key.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{content}.{_encode(signature)}"

    def read(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that this key signed; times and audience are the caller's to check."""
        content, _, signature = token.rpartition(".")
        header_text, _, claims_text = content.partition(".")
        try:
            header = orjson.loads(_decode(header_text))
            claims = orjson.loads(_decode(claims_text))
            proof = _decode(signature)
        except (binascii.Error, ValueError) as error:
            raise BadToken("The token is not a JSON Web Token") from error
        if not isinstance(header, dict) or not isinstance(claims, dict) or header.get("alg") != "RS256":
            raise BadToken("The token is not a JSON Web Token signed with RS256")
        try:
            self.key.public_key().verify(proof, content.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as error:
            raise BadToken("The signature of the token is not ours") from error
        return claims


def _new_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
