"""Fixtures that every test may ask for: people with each role, and a worker that runs within the test."""

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from activity.models import Account, Membership
from tests.live import make_live_account
from tests.worker import InlineWorker

pytest_plugins = ["tests.emulator_fixture"] if importlib.util.find_spec("tests.emulator_fixture") else []


def pytest_unconfigure(config: pytest.Config) -> None:
    """Throw the tests' data folder away, once, in the process that made it."""
    folder = Path(os.environ["ZOOBATCH_DATA_DIR"])
    is_ours = folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith("zoobatch-tests-")
    if is_ours and not hasattr(config, "workerinput"):
        shutil.rmtree(folder, ignore_errors=True)


def _person(name: str, role: str | None, *, is_superuser: bool = False) -> User:
    make = User.objects.create_superuser if is_superuser else User.objects.create_user
    user = make(name, password="correct horse battery staple")
    if role is not None:
        Membership.objects.create(user=user, account=None, role=role)
    return user


@pytest.fixture
def outsider(db: None) -> User:
    """Return a user without any role."""
    return _person("olga", None)


@pytest.fixture
def viewer(db: None) -> User:
    """Return a user who may look at every account."""
    return _person("vera", Membership.Role.VIEWER)


@pytest.fixture
def submitter(db: None) -> User:
    """Return a user who may submit jobs everywhere."""
    return _person("sam", Membership.Role.SUBMITTER)


@pytest.fixture
def operator(db: None) -> User:
    """Return a user who may change pools everywhere."""
    return _person("otto", Membership.Role.OPERATOR)


@pytest.fixture
def admin(db: None) -> User:
    """Return a superuser."""
    return _person("ada", Membership.Role.ADMIN, is_superuser=True)


@pytest.fixture
def account(db: None) -> Account:
    """Return an account that may be changed; nothing answers at its address."""
    return Account.objects.create(
        slug="zoobot",
        name="Zoobot",
        mode=Account.Mode.FULL,
        batch_account="zoobatch",
        batch_endpoint="https://127.0.0.1:9",
    )


@pytest.fixture
def live(db: None, emulator: dict[str, Any], settings: Any) -> Account:
    """Return an account that may be changed and that the emulator answers for."""
    settings.ZOOBATCH_CA_BUNDLE = emulator["ca"]
    return make_live_account(emulator)


@pytest.fixture
def worker(db: None) -> InlineWorker:
    """Return a worker that carries out pending operations within the test, without a broker."""
    return InlineWorker()


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, object]:
    """Start the system's Chromium: a browser of the test library's own cannot be fetched everywhere."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed; browser tests are never left out here.")
        pytest.skip("Chromium is not installed.")
    # Playwright's own loop runs in this thread, in which Django would otherwise refuse the database.
    os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
    return {"executable_path": found, "args": flags}
