"""The definitions that come with the product, as data; `jobs.recipes` says what their words mean."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def load_all() -> list[dict[str, Any]]:
    """Read every shipped definition, in the order of their names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))]


def load(name: str) -> dict[str, Any]:
    """Read one shipped definition; KeyError when there is none of that name."""
    for definition in load_all():
        if definition["name"] == name:
            return definition
    raise KeyError(name)
