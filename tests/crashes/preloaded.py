"""Everything that a Celery process imports before it does anything; it opens no connection and starts no thread."""

import django

django.setup()

from dashboard.celery import app  # noqa: E402  (needs the settings)

app.loader.import_default_modules()
