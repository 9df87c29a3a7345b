"""Which files make up the code folder that nodes copy: scripts on top, the package they import beside them."""

from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent


def code_files() -> Iterator[tuple[str, Path]]:
    """Yield each file's path in the code folder and where it is here."""
    for path in sorted((HERE / "scripts").iterdir()):
        if path.suffix in (".py", ".sh") and path.name != "__init__.py":
            yield path.name, path
    yield "examples/__init__.py", HERE / "__init__.py"
    for path in sorted((HERE / "learning").glob("*.py")):
        yield f"examples/learning/{path.name}", path
