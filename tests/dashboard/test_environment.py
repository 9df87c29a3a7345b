"""Settings are read strictly, and production does not start with anything of a demo's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from dashboard import environment

ROOT = Path(__file__).resolve().parents[2]
SAFE = {
    "ZOOBATCH_ENV": "production",
    "ZOOBATCH_PUBLIC_URL": "https://zoobatch.example.org",
    "ZOOBATCH_SECRET_KEY": "k3J9x" * 12,
    "ZOOBATCH_SECRET_KEYS": Fernet.generate_key().decode(),
    "ZOOBATCH_DATABASE_URL": "postgres://zoobatch:p%40ss@db:5432/zoobatch?sslmode=require",
    "ZOOBATCH_BROKER_URL": "redis://broker:6379/0",
}


def read_settings(
    tmp_path: Path, expression: str = "1", **overrides: str
) -> subprocess.CompletedProcess[str]:
    """Read the settings in a process of its own with only this environment, and print an expression of them."""
    variables = {"PATH": os.environ["PATH"], "ZOOBATCH_DATA_DIR": str(tmp_path / "data"), **overrides}
    code = f"import dashboard.settings as s; print(({expression}))"
    return subprocess.run(
        [sys.executable, "-c", code], env=variables, cwd=ROOT, text=True, capture_output=True, check=False
    )


def test_production_starts_with_safe_settings(tmp_path: Path) -> None:
    shown = "s.ALLOWED_HOSTS, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.DEBUG, s.DATABASES['default']['PASSWORD']"
    done = read_settings(tmp_path, shown, **SAFE)
    assert done.stdout.strip() == "(['zoobatch.example.org'], True, True, False, 'p@ss')", done.stderr


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("ZOOBATCH_DEBUG", "1", "ZOOBATCH_DEBUG must be off"),
        ("ZOOBATCH_SECRET_KEY", "short", "ZOOBATCH_SECRET_KEY (or"),
        ("ZOOBATCH_SECRET_KEYS", "", "ZOOBATCH_SECRET_KEYS (or"),
        ("ZOOBATCH_PUBLIC_URL", "", "ZOOBATCH_PUBLIC_URL must be"),
        ("ZOOBATCH_ALLOWED_HOSTS", "*", "ZOOBATCH_ALLOWED_HOSTS must"),
        ("ZOOBATCH_DATABASE_URL", "", "ZOOBATCH_DATABASE_URL must be set"),
        ("ZOOBATCH_DATABASE_URL", "mysql://db/x", "must begin with postgres:// or sqlite://"),
        ("ZOOBATCH_BROKER_URL", "", "ZOOBATCH_BROKER_URL must be set"),
        ("ZOOBATCH_ENV", "staging", "must be demo, production or build"),
        ("ZOOBATCH_PORT", "http", "must be a whole number"),
        ("ZOOBATCH_DEBUG", "maybe", "must be true or false"),
        ("ZOOBATCH_EMULATOR_PORTS", "1,2", "must be four ports"),
    ],
)
def test_production_refuses_what_is_unsafe_or_missing_and_names_it(
    tmp_path: Path, name: str, value: str, complaint: str
) -> None:
    done = read_settings(tmp_path, **SAFE | {name: value})
    assert done.returncode != 0
    assert complaint in done.stderr


def test_production_names_all_faults_at_once(tmp_path: Path) -> None:
    done = read_settings(tmp_path, ZOOBATCH_ENV="production")
    for name in ("SECRET_KEY", "SECRET_KEYS", "PUBLIC_URL", "DATABASE_URL", "BROKER_URL"):
        assert f"ZOOBATCH_{name}" in done.stderr


def test_production_refuses_a_demo_s_keys_and_folder(tmp_path: Path) -> None:
    keys = environment.demo_keys(environment.private_folder(tmp_path / "demo"))
    for name, key in (("ZOOBATCH_SECRET_KEY", "secret_key"), ("ZOOBATCH_SECRET_KEYS", "fernet_key")):
        done = read_settings(tmp_path, **SAFE | {name: keys[key]})
        assert "must not be the keys of a demo" in done.stderr
    (tmp_path / "data" / "emulator").mkdir(parents=True, exist_ok=True)
    (tmp_path / "data" / "emulator" / "endpoints.json").write_text("{}")
    assert "holds the local Azure of a demo" in read_settings(tmp_path, **SAFE).stderr


def test_building_needs_neither_secrets_nor_database_nor_folder(tmp_path: Path) -> None:
    done = read_settings(tmp_path, ZOOBATCH_ENV="build")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "data").exists()


def test_a_demo_makes_its_own_keys_once_and_for_its_owner_only(tmp_path: Path) -> None:
    first, second = (read_settings(tmp_path, "s.SECRET_KEY, s.ZOOBATCH_SECRET_KEYS").stdout for _ in range(2))
    assert first == second != ""
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "secrets").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secrets"]


def test_cookies_follow_the_scheme_of_the_public_address(tmp_path: Path) -> None:
    done = read_settings(
        tmp_path, "s.SESSION_COOKIE_SECURE", **SAFE | {"ZOOBATCH_PUBLIC_URL": "http://zoobatch.local:8000"}
    )
    assert done.stdout.strip() == "False"


def test_secrets_may_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("hunter22\n")
    monkeypatch.setenv("ZB_FILE", str(tmp_path / "key"))
    assert environment.env_secret("ZB") == "hunter22"
    monkeypatch.setenv("ZB", "other")
    with pytest.raises(ImproperlyConfigured, match="not both"):
        environment.env_secret("ZB")
    monkeypatch.delenv("ZB")
    monkeypatch.setenv("ZB_FILE", str(tmp_path / "missing"))
    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        environment.env_secret("ZB")


def test_sqlite_addresses_may_hold_spaces() -> None:
    found = environment.database_from_url("sqlite:////data/my%20folder/zoobatch.sqlite3")
    assert found["NAME"] == "/data/my folder/zoobatch.sqlite3"


def test_random_keys_are_not_taken_for_a_demo_s() -> None:
    assert not any(environment.is_demo_key(Fernet.generate_key().decode()) for _ in range(100))
    assert not environment.is_demo_key("not base64 at all!")
