"""Run the product outside pytest: in a folder of its own and on a database that is gone afterwards."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django


@contextmanager
def temporary_folder(kept: Path | None) -> Iterator[Path]:
    """Yield the folder to keep, made if need be, or one that is thrown away."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="zoobatch-") as name:
        yield Path(name)


@contextmanager
def product(folder: Path, name: str) -> Iterator[None]:
    """Set Django up with its data in `folder`, and with a database for `name` that holds the tables and no rows.

    It is SQLite in the folder, or a database beside the one that ZOOBATCH_DATABASE_URL names, which is not touched.
    To be entered before anything is imported that needs settings.
    """
    os.environ["ZOOBATCH_DATA_DIR"] = str(folder / "data")
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ.setdefault("ZOOBATCH_LOG_LEVEL", "ERROR")
    django.setup()
    from django.db import connection

    before = connection.settings_dict["NAME"]
    if connection.vendor != "sqlite":
        connection.settings_dict["TEST"]["NAME"] = f"test_{before}_{name}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(before, verbosity=0)
