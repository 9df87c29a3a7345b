"""The product's settings for tests: a data folder of their own, thrown away afterwards."""

import os
import tempfile
from pathlib import Path

# Set before the settings are read, and inherited by the processes that tests start and by parallel workers.
os.environ.setdefault("ZOOBATCH_DATA_DIR", tempfile.mkdtemp(prefix="zoobatch-tests-"))

from dashboard.settings import *  # noqa: F403
from dashboard.settings import DATABASES, ZOOBATCH_DATA_DIR

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, not memory: threads and other processes must see the same database through connections of their own.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(ZOOBATCH_DATA_DIR) / "test.sqlite3")}
# Signing in a hundred times should not cost a hundred slow hashes.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
