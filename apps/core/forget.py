"""What nobody asks for any more is deleted once a day."""

from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.utils import timezone
from django_q.models import Task

from apps.core import artifacts

KEEP_TASKS = timedelta(days=30)


def forget_daily() -> None:
    """Sessions that have expired, failures of the queue that were looked at long ago, and half-written artifacts."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    Task.objects.filter(stopped__lt=timezone.now() - KEEP_TASKS).delete()
    artifacts.forget_partials()
