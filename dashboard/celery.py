"""The Celery application; what it runs is in each app's tasks.py."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
TRANSPORT_ALIASES["sqlq"] = "dashboard.sqlq:Transport"

app = Celery("zoobatch")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
