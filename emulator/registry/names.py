"""The grammar of names: what is not matched here never reaches a file or a table."""

import hashlib
import re

from emulator.registry.errors import RegistryError

MOST_CHARACTERS = 255
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII
)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def is_repository(text: str) -> bool:
    """Tell whether a text can be the name of a repository."""
    return len(text) <= MOST_CHARACTERS and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Tell whether a text can be a tag."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Tell whether a text is a SHA-256 digest, the only kind that the registry keeps."""
    return _DIGEST.fullmatch(text) is not None


def repository(text: str) -> str:
    """Return a name of a repository, or refuse it."""
    if not is_repository(text):
        raise RegistryError("NAME_INVALID", detail={"name": text})
    return text


def digest(text: str) -> str:
    """Return a digest, or refuse it."""
    if not is_digest(text):
        raise RegistryError("DIGEST_INVALID", "invalid digest format", detail={"digest": text})
    return text


def tag(text: str) -> str:
    """Return a tag, or refuse it."""
    if not is_tag(text):
        raise RegistryError("TAG_INVALID", "invalid tag format", detail={"tag": text})
    return text


def reference(text: str) -> str:
    """Return what a manifest is asked for by, a tag or a digest, or refuse it."""
    return digest(text) if ":" in text else tag(text)


def digest_of(content: bytes) -> str:
    """Return the digest of some content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
