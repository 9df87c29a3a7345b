"""All settings, read from the environment.

ZOOBATCH_ENV says which way it runs: `demo` (one machine, keys made by itself, the local Azure), `production`
(nothing has a default that would be unsafe) or `build` (collecting static files; needs no secrets and no database).
"""

import secrets
from pathlib import Path
from urllib.parse import quote, urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from dashboard.environment import (
    database_from_url,
    demo_keys,
    env_bool,
    env_int,
    env_list,
    env_secret,
    env_str,
    is_demo_key,
    private_folder,
)

BASE_DIR = Path(__file__).resolve().parent.parent

# --- which way it runs ---
ZOOBATCH_ENV = env_str("ZOOBATCH_ENV", "demo")
if ZOOBATCH_ENV not in {"demo", "production", "build"}:
    raise ImproperlyConfigured(f"ZOOBATCH_ENV must be demo, production or build, not {ZOOBATCH_ENV!r}.")
IS_DEMO = ZOOBATCH_ENV == "demo"
IS_PRODUCTION = ZOOBATCH_ENV == "production"
DEBUG = env_bool("ZOOBATCH_DEBUG")

ZOOBATCH_DATA_DIR = Path(env_str("ZOOBATCH_DATA_DIR") or BASE_DIR / ".data").absolute()
if ZOOBATCH_ENV != "build":
    ZOOBATCH_DATA_DIR = private_folder(ZOOBATCH_DATA_DIR)

ZOOBATCH_PORT = env_int("ZOOBATCH_PORT", 8000)
_ports = env_list("ZOOBATCH_EMULATOR_PORTS", "10443,10444,10445,10446")
if len(_ports) != 4 or not all(port.isdigit() for port in _ports):
    raise ImproperlyConfigured("ZOOBATCH_EMULATOR_PORTS must be four ports: batch,registry,identity,blob.")
ZOOBATCH_EMULATOR_PORTS = [int(port) for port in _ports]
ZOOBATCH_EMULATOR_DIR = ZOOBATCH_DATA_DIR / "emulator"
# The demo's sample images hold no Python, so its tasks run as plain processes; real images want `auto`.
ZOOBATCH_CONTAINER_RUNTIME = env_str("ZOOBATCH_CONTAINER_RUNTIME", "process")

# --- keys ---
if IS_DEMO:
    _made = demo_keys(ZOOBATCH_DATA_DIR)
elif ZOOBATCH_ENV == "build":
    _made = {"secret_key": secrets.token_urlsafe(64), "fernet_key": ""}
else:
    _made = {"secret_key": "", "fernet_key": ""}
SECRET_KEY = env_secret("ZOOBATCH_SECRET_KEY", _made["secret_key"])
# Newest first: the first encrypts, all decrypt, so that a key is changed by putting the new one in front.
ZOOBATCH_SECRET_KEYS = [
    key.strip() for key in env_secret("ZOOBATCH_SECRET_KEYS", _made["fernet_key"]).split(",") if key.strip()
]

# --- where it is reached ---
ZOOBATCH_PUBLIC_URL = env_str("ZOOBATCH_PUBLIC_URL") or (
    "" if IS_PRODUCTION else f"http://127.0.0.1:{ZOOBATCH_PORT}"
)
_public = urlsplit(ZOOBATCH_PUBLIC_URL)
IS_HTTPS = _public.scheme == "https"
ALLOWED_HOSTS = [_public.hostname or "", *env_list("ZOOBATCH_ALLOWED_HOSTS")]
if IS_DEMO:
    ALLOWED_HOSTS += ["127.0.0.1", "localhost", "[::1]"]
ALLOWED_HOSTS = sorted({host for host in ALLOWED_HOSTS if host})
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"] if _public.netloc else []

# --- database and broker ---
_database_url = env_secret("ZOOBATCH_DATABASE_URL")
if not _database_url and not IS_PRODUCTION:
    _database_url = f"sqlite:///{quote(str(ZOOBATCH_DATA_DIR))}/zoobatch.sqlite3"
DATABASES = {"default": database_from_url(_database_url)} if _database_url else {}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Bulk writers on SQLite take turns through this file, so that short writes of pages get in between.
ZOOBATCH_WRITER_GATE = ZOOBATCH_DATA_DIR / "writer.lock"

_broker_url = env_secret("ZOOBATCH_BROKER_URL")
if not _broker_url and not IS_PRODUCTION:
    _broker_url = f"sqlq://localhost/{quote(str(ZOOBATCH_DATA_DIR))}/broker.sqlite3"


def _start_up_faults() -> list[str]:
    """Return what forbids production to start, all of it at once."""
    faults = []
    if DEBUG:
        faults.append("ZOOBATCH_DEBUG must be off.")
    if len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 5:
        faults.append(
            "ZOOBATCH_SECRET_KEY (or ZOOBATCH_SECRET_KEY_FILE) must be set, with 50 random characters or more."
        )
    if not ZOOBATCH_SECRET_KEYS:
        faults.append(
            "ZOOBATCH_SECRET_KEYS (or ZOOBATCH_SECRET_KEYS_FILE) must hold one Fernet key or several, newest first."
        )
    if any(is_demo_key(key) for key in [SECRET_KEY, *ZOOBATCH_SECRET_KEYS]):
        faults.append("ZOOBATCH_SECRET_KEY and ZOOBATCH_SECRET_KEYS must not be the keys of a demo.")
    if not (_public.scheme in {"http", "https"} and _public.hostname):
        faults.append(
            "ZOOBATCH_PUBLIC_URL must be the address people use, such as https://zoobatch.example.org."
        )
    if "*" in ALLOWED_HOSTS:
        faults.append("ZOOBATCH_ALLOWED_HOSTS must name hosts; * is not accepted.")
    if not DATABASES:
        faults.append(
            "ZOOBATCH_DATABASE_URL must be set, such as postgres://user:password@host:5432/zoobatch."
        )
    if not _broker_url:
        faults.append("ZOOBATCH_BROKER_URL must be set, such as redis://host:6379/0.")
    if (ZOOBATCH_EMULATOR_DIR / "endpoints.json").exists():
        faults.append(
            f"ZOOBATCH_DATA_DIR holds the local Azure of a demo ({ZOOBATCH_EMULATOR_DIR}); choose another folder."
        )
    return faults


if IS_PRODUCTION and (_faults := _start_up_faults()):
    raise ImproperlyConfigured("zoobatch cannot start:\n- " + "\n- ".join(_faults))

# --- Azure: the Account rows say where; the environment says whom to trust ---
ZOOBATCH_CA_BUNDLE = env_str("ZOOBATCH_CA_BUNDLE") or (
    str(ZOOBATCH_EMULATOR_DIR / "ca.pem") if IS_DEMO else ""
)
ZOOBATCH_AUTHORITY = env_str("ZOOBATCH_AUTHORITY") or (
    f"https://127.0.0.1:{ZOOBATCH_EMULATOR_PORTS[2]}" if IS_DEMO else ""
)
ZOOBATCH_PRIVATE_AUTHORITY = env_bool("ZOOBATCH_PRIVATE_AUTHORITY", IS_DEMO)
# References to secrets outside the database stay within these: env:ZOOBATCH_CREDENTIAL_… and file:/run/secrets/….
ZOOBATCH_CREDENTIAL_PREFIX = env_str("ZOOBATCH_CREDENTIAL_PREFIX", "ZOOBATCH_CREDENTIAL_")
ZOOBATCH_CREDENTIAL_FOLDER = Path(env_str("ZOOBATCH_CREDENTIAL_FOLDER", "/run/secrets"))

# --- the ledger and sync: seconds, chosen so that a lease outlives any single call to Azure ---
ZOOBATCH_LEASE_SECONDS = env_int("ZOOBATCH_LEASE_SECONDS", 120)
ZOOBATCH_DISPATCH_GRACE_SECONDS = env_int("ZOOBATCH_DISPATCH_GRACE_SECONDS", 30)
ZOOBATCH_GIVE_UP_HOURS = env_int("ZOOBATCH_GIVE_UP_HOURS", 24)
ZOOBATCH_KEEP_SYNC_RUNS_DAYS = env_int("ZOOBATCH_KEEP_SYNC_RUNS_DAYS", 14)
ZOOBATCH_KEEP_OPERATIONS_DAYS = env_int("ZOOBATCH_KEEP_OPERATIONS_DAYS", 400)
# Called with a step's name as it is reached; tests set it to stop a worker there.
ZOOBATCH_STEP_HOOK = None

# --- Django ---
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
    "csp",
    "django_htmx",
    "django_filters",
    "activity",
    "pools",
    "jobs",
    "dashboard",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Deny by default: a view that anonymous people may see says so.
    "dashboard.middleware.SignInRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "dashboard.urls"
WSGI_APPLICATION = "dashboard.wsgi.application"
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["dashboard.templatetags.zoobatch"],
            "context_processors": [
                *(["django.template.context_processors.debug"] if DEBUG else []),
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "dashboard.context.shell",
            ],
        },
    }
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTH_PASSWORD_VALIDATORS[1]["OPTIONS"] = {"min_length": 12}  # type: ignore[assignment]

LANGUAGE_CODE = "en-gb"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# A demo serves them from where they are; elsewhere they are collected, compressed and named by content.
STATIC_ROOT = None if IS_DEMO else BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if IS_DEMO
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = IS_DEMO
WHITENOISE_AUTOREFRESH = DEBUG

# --- what browsers are told ---
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# Two instances on one host must not sign each other out: cookies know no ports.
SESSION_COOKIE_NAME = f"zoobatch_session_{_public.port}" if _public.port else "zoobatch_session"
CSRF_COOKIE_NAME = f"zoobatch_csrf_{_public.port}" if _public.port else "zoobatch_csrf"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = IS_HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = env_int("ZOOBATCH_HSTS_SECONDS", 31_536_000) if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = IS_HTTPS
# Preloading binds a whole domain for years: the decision of who owns it, not of one program on it.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
if env_bool("ZOOBATCH_BEHIND_PROXY", IS_HTTPS):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Celery: a doorbell; the truth about work is in Operation and SyncTarget rows ---
CELERY_BROKER_URL = _broker_url
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = (
    {"polling_interval": 0.1, "visibility_timeout": 900}
    if _broker_url.startswith("sqlq:")
    else {
        "visibility_timeout": 900,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 1,
    }
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_POOL_LIMIT = 10
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "zoobatch"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = env_int("ZOOBATCH_WORKER_THREADS", 8)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
# Due times are in our own rows; beat keeps nothing, so there is no file of its to spoil.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {
    "tick": {"task": "activity.tick", "schedule": 5.0, "options": {"expires": 5}},
    "keep-pools": {"task": "pools.keep", "schedule": 30.0, "options": {"expires": 30}},
    "keep-jobs": {"task": "jobs.keep", "schedule": 30.0, "options": {"expires": 30}},
    "prune": {"task": "activity.prune", "schedule": 3_600.0, "options": {"expires": 3_600}},
}

# --- logs: one line per event, to standard error ---
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env_str("ZOOBATCH_LOG_LEVEL", "INFO")},
    "loggers": {
        "azure": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "django.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}
