"""Checkpoints: the weights and where they come from, in one file without any code in it."""

import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from .network import Array, Encoder, Head, Weights
from .pretrain import check

PROVENANCE = "provenance"
NAME = "epoch-{epoch}-val_loss-{val_loss:.7f}.ckpt"
"""Zooniverse's template; the promote script reads the loss from it."""

_LOSS = re.compile(r"val_loss[-=]([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")


class BadCheckpoint(Exception):
    """A file that is not one of our checkpoints; the text says why."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights of an encoder and perhaps a head, with a record of how they came to be."""

    weights: Weights
    provenance: dict[str, Any]

    def encoder(self, *, trained: int = 0) -> Encoder:
        """Return its encoder. Raises BadCheckpoint when it has another shape."""
        try:
            own = check({name: array for name, array in self.weights.items() if name.startswith("block")})
        except ValueError as error:
            raise BadCheckpoint(str(error)) from error
        return Encoder(own.weights, trained=trained)

    def head(self) -> Head:
        """Return its head. Raises BadCheckpoint when it is a base checkpoint, which has none."""
        own = {name: array for name, array in self.weights.items() if name.startswith("head")}
        if not own:
            raise BadCheckpoint("it is a base checkpoint: it has an encoder but was never trained on answers")
        return Head(own)


def loss_in_name(name: str) -> float | None:
    """Return the validation loss that a checkpoint's file name says, None when it says none or not a number."""
    found = _LOSS.search(name)
    return float(found[1]) if found else None


def save(path: Path, weights: Mapping[str, Array], provenance: Mapping[str, Any]) -> None:
    """Write a checkpoint; a reader sees the old file or the whole new one."""
    record = json.dumps(provenance, indent=1).encode()
    content = io.BytesIO()
    arrays: dict[str, Any] = {PROVENANCE: np.frombuffer(record, np.uint8), **weights}
    np.savez(content, **arrays, allow_pickle=False)
    write_whole(path, content.getvalue())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)


def load(path: str) -> Checkpoint:
    """Read a checkpoint. Raises BadCheckpoint."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            weights: Weights = {name: arrays[name] for name in arrays.files if name != PROVENANCE}
            provenance = json.loads(arrays[PROVENANCE].tobytes())
    except OSError as error:
        raise BadCheckpoint(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise BadCheckpoint(f"{path}: not a checkpoint of this example") from error
    return Checkpoint(weights, provenance)


def digest(path: str) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def circumstances(script: str) -> dict[str, Any]:
    """Return when, where and by which script something is made."""
    names = ("AZ_BATCH_POOL_ID", "AZ_BATCH_NODE_ID", "AZ_BATCH_JOB_ID", "AZ_BATCH_TASK_ID")
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "script": {"name": Path(script).name, "sha256": digest(script)},
        "batch": {name: os.environ[name] for name in names if name in os.environ},
    }
