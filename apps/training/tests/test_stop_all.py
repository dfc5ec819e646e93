"""Asking every training host to save and stop."""

import io
import subprocess
import sys
import time

import pytest
from django.core.management import call_command

from apps.core.models import JobStatus
from apps.core.processes.tree import process_key
from apps.core.tests.factories import TrainingRunFactory


@pytest.mark.django_db
def test_a_stop_does_not_wait_for_a_host_that_has_ended_and_that_nobody_reaped() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as host:
        key = process_key(host.pid)
        assert key is not None
        TrainingRunFactory.create(status=JobStatus.RUNNING, host_pid=host.pid, host_started_ticks=key.started)
        said, began = io.StringIO(), time.monotonic()
        call_command("training_stop_all", wait=30.0, stdout=said)
        assert time.monotonic() - began < 20
        assert said.getvalue() == "training hosts asked to stop: 1, still running: 0\n"
        assert host.wait() == -15
