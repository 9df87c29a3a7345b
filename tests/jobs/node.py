"""A node's folders and a stand-in for python, to run rendered command lines for real."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from jobs.recipes import Variable

RECORDER = """#!/bin/bash
# Say exactly what was called, one null-terminated word after the other.
printf '%s\\0' "$(basename "$0")" "$@" >> "$RECORD"
printf '\\n--\\n' >> "$RECORD"
"""


def split_by_quotes(command_line: str) -> list[str]:
    """Split as a node might that knows quotes but no escapes: the other way there is to read a command line."""
    words: list[str] = []
    word, quote, started = "", "", False
    for character in command_line:
        if quote:
            if character == quote:
                quote = ""
            else:
                word += character
        elif character in "'\"":
            quote, started = character, True
        elif character == " ":
            if started or word:
                words.append(word)
            word, started = "", False
        else:
            word += character
    return [*words, word] if started or word else words


class Node:
    """Folders as on a node, and an environment as Azure Batch sets it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounts = root / "fsmounts"
        self.shared = root / "shared"
        self.work = root / "workitems" / "wd"
        self.record = root / "record"
        self.programs = root / "programs"
        for folder in (self.mounts, self.shared, self.work, self.programs):
            folder.mkdir(parents=True)
        self.stand_in("python")

    def stand_in(self, name: str) -> None:
        """Put a program first on the path that records its arguments."""
        path = self.programs / name
        path.write_text(RECORDER)
        path.chmod(0o755)

    def put(self, path: str, content: str = "x") -> Path:
        """Write a file under the mounts."""
        target = self.mounts / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        return target

    def run(
        self, command_line: str, variables: Iterable[Variable] = (), *, split=shlex.split, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line the way a node does: no shell of its own, variables as they are."""
        environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "RECORD": str(self.record),
            "AZ_BATCH_NODE_MOUNTS_DIR": str(self.mounts),
            "AZ_BATCH_NODE_SHARED_DIR": str(self.shared),
            "AZ_BATCH_NODE_ID": "tvmps_1",
            "AZ_BATCH_POOL_ID": "training_1",
            **{variable.name: variable.value for variable in variables},
        }
        return subprocess.run(
            split(command_line),
            env=environment,
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def calls(self) -> list[list[str]]:
        """Return the recorded calls, each with its program's name first."""
        if not self.record.exists():
            return []
        raw = self.record.read_bytes().decode("utf-8", "surrogateescape")
        return [call.split("\0")[:-1] for call in raw.split("\n--\n") if call]


def as_wire(variables: Iterable[Variable]) -> str:
    """Return what goes over the wire for variables, as one text to search."""
    return json.dumps([[variable.name, variable.value] for variable in variables])
