"""The host of a training run, with the real engine on a random model of a few hundred kB, in an installation."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.core.tests.installation import Installation, alive, migrated, wait_for
from apps.training import launch
from apps.training.models import TrainingRun
from scripts.kill_lib.small import write_small

SET_UP = """
import json
from apps.accounts.models import Team, User
from apps.core import jobs
from apps.training.models import *
from apps.training.services.runs import training_run_create, training_run_start
from apps.workspace.demo import demo_team_ensure
from apps.workspace.quickstart import making
from apps.workspace.quickstart.definition import read_definition
from apps.workspace.models import ExperimentRun
from pathlib import Path
"""
PLAN = f"""{SET_UP}
team, user = demo_team_ensure()
definition = read_definition(Path("DEFINITION"))
quick = ExperimentRun(team=team, actor=user, definition=definition, definition_hash="x")
spec = {{**definition["training"], **SPEC}}
prompt = making.prompt_ensure(quick, "tuned", definition["prompts"]["tuned"])
run = training_run_create(actor=user, team=team, name="Tiny", base_model=making.base_model_of(quick),
    dataset_version=making.dataset_version_of(quick), prompt_version=prompt, spec=spec)
training_run_start(actor=user, run=run)
print(run.pk)
"""
CLAIM = f"""{SET_UP}
run = jobs.claim(TrainingRun, PK)
print(json.dumps([run.attempt, run.claim]))
"""
LOOK = f"""{SET_UP}
run = TrainingRun.objects.get(pk=PK)
print(json.dumps(dict(status=run.status, error=run.error, kept=run.error_kept, attempt=run.attempt, claim=run.claim,
    done=run.done, offset=run.event_offset, result=run.result, model=run.language_model.state,
    model_error=run.language_model.error,
    versions=ModelVersion.objects.count(), checkpoints=list(run.checkpoints.values_list("step", flat=True)),
    points=MetricPoint.objects.filter(run=run, name="train_loss").count(), host=run.host_pid, engine=run.engine_pid,
    ticks=[run.host_started_ticks, run.engine_started_ticks], lease=DeviceLease.objects.exclude(run=None).count())))
"""
OTHER_RUN_TAKES_THE_DEVICE = """
import datetime
from django.utils import timezone
other = training_run_create(actor=run.created_by, team=run.team, name="Other", base_model=run.base_model,
    dataset_version=run.dataset_version, prompt_version=run.prompt_version, spec=run.spec)
later = timezone.now() + datetime.timedelta(hours=1)
assert DeviceLease.objects.update(run=other, expires_at=later) == 1
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    var_dir = migrated(tmp_path_factory, "host")
    write_small(var_dir)
    return var_dir


class Machine:
    """One installation with one training run."""

    def __init__(self, installation: Installation, **spec: Any) -> None:
        self.installation = installation
        code = PLAN.replace("DEFINITION", installation.path("definition.toml")).replace("SPEC", repr(spec))
        self.pk = int(installation.run_python(code).split()[-1])

    def look(self) -> dict[str, Any]:
        """The run as the database has it."""
        seen: dict[str, Any] = json.loads(self._run(LOOK))
        return seen

    def claim(self) -> tuple[int, str]:
        attempt, claim = json.loads(self._run(CLAIM))
        return attempt, claim

    def do(self, code: str) -> None:
        self._run(f"{SET_UP}\nrun = TrainingRun.objects.get(pk=PK)\n{code}")

    def start(self, claimed: tuple[int, str]) -> "subprocess.Popen[str]":
        attempt, claim = claimed
        return self.installation.start("training_host", str(self.pk), "--attempt", str(attempt), "--claim", claim)

    def end_of(self, host: "subprocess.Popen[str]") -> int:
        output, _ = host.communicate(timeout=90)
        assert "Traceback" not in output, output
        return host.returncode

    def host(self) -> int:
        """Claim and host an attempt to its end."""
        return self.end_of(self.start(self.claim()))

    def events(self) -> list[dict[str, Any]]:
        (path,) = (self.installation.var_dir / "training").glob("*/events.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]

    def wait_for_event(self, type_: str, count: int = 1) -> None:
        def seen() -> bool:
            folders = list((self.installation.var_dir / "training").glob("*/events.jsonl"))
            return bool(folders) and sum(f'"type": "{type_}"' in line for line in folders[0].open()) >= count

        wait_for(seen, seconds=60, what=f"the event {type_}")

    def _run(self, code: str) -> str:
        return (
            self.installation.run_python(code.replace("PK", str(self.pk))).splitlines()[-1]
            if "print" in code
            else (self.installation.run_python(code.replace("PK", str(self.pk))))
        )


@pytest.fixture
def installation(template: Path, tmp_path: Path) -> Iterator[Installation]:
    import shutil

    shutil.copytree(template, tmp_path / "var", copy_function=os.link)
    database = tmp_path / "var" / "llmopt.sqlite3"
    for name in ("", "-wal", "-shm"):
        source, copy = template / f"llmopt.sqlite3{name}", Path(f"{database}{name}")
        copy.unlink(missing_ok=True)
        if source.exists():
            shutil.copy2(source, copy)
    made = Installation(tmp_path / "var")
    yield made
    made.end()


@pytest.mark.slow
def test_a_run_is_paused_resumed_killed_and_registered_exactly_once(installation: Installation) -> None:
    machine = Machine(installation, epochs=8)
    first = machine.claim()
    host = machine.start(first)
    machine.wait_for_event("checkpoint")
    machine.do("jobs.job_pause(actor=None, row=run)")
    assert machine.end_of(host) == 0
    paused = machine.look()
    assert paused["status"] == "paused"
    assert paused["versions"] == 0
    assert paused["checkpoints"]
    assert paused["lease"] == 0

    machine.do("jobs.job_resume(actor=None, row=run)")
    # An old host that wakes up now has the same attempt number as the new one, but not its claim.
    new = machine.claim()
    assert new[0] == first[0] == 1
    assert machine.end_of(machine.start(first)) == 3

    environment = {"LLMOPT_FAULT": "register", "LLMOPT_FAULT_DIR": installation.path("")}
    installation.variables.update(environment)
    killed = machine.start(new)
    killed.wait(90)
    assert killed.returncode == -signal.SIGKILL
    after_kill = machine.look()
    assert (after_kill["status"], after_kill["versions"]) == ("running", 0)
    resumed = [item for item in machine.events() if item["type"] == "started" and item["resumed_from_step"]]
    assert resumed

    machine.do("import datetime; TrainingRun.objects.update(heartbeat_at=None); assert jobs.reap() == 1")
    assert machine.host() == 0
    done = machine.look()
    assert (done["status"], done["versions"], done["model"]) == ("succeeded", 1, "ready")
    assert done["result"]["step"] == max(done["checkpoints"])
    steps = {item["done"] for item in machine.events() if item["type"] == "progress" and item.get("loss") is not None}
    assert done["points"] == len(steps) > 0
    (path,) = (installation.var_dir / "training").glob("*/events.jsonl")
    assert done["offset"] == path.stat().st_size
    assert not alive(done["host"])
    assert not alive(done["engine"])


@pytest.mark.slow
def test_a_cancelled_run_keeps_its_checkpoint_and_has_no_model_until_it_goes_on(installation: Installation) -> None:
    machine = Machine(installation, epochs=12)
    host = machine.start(machine.claim())
    machine.wait_for_event("checkpoint")
    machine.do("jobs.job_cancel(actor=None, row=run)")
    assert machine.end_of(host) == 0
    seen = machine.look()
    assert (seen["status"], seen["versions"], seen["model"], seen["lease"]) == ("cancelled", 0, "failed", 0)
    assert seen["model_error"] == "Its training was cancelled."
    assert seen["checkpoints"]

    machine.do("jobs.job_resume(actor=None, row=run)")
    again = machine.start(machine.claim())
    machine.wait_for_event("started", 2)
    seen = machine.look()
    assert (seen["status"], seen["model"], seen["model_error"]) == ("running", "planned", "")
    assert machine.end_of(again) == 0
    done = machine.look()
    assert (done["status"], done["versions"], done["model"]) == ("succeeded", 1, "ready")


@pytest.mark.slow
def test_a_failing_engine_says_why_in_its_own_words(installation: Installation) -> None:
    machine = Machine(installation, lora={"targets": ["no_such_layer"]})
    assert machine.host() == 0
    seen = machine.look()
    (said,) = [item["text"] for item in machine.events() if item["type"] == "error"]
    assert (seen["status"], seen["error"], seen["kept"]) == ("failed", said, "Nothing was saved yet.")
    assert seen["model"] == "failed"


@pytest.mark.slow
def test_a_host_that_is_taken_over_kills_its_engine_and_changes_nothing(installation: Installation) -> None:
    machine = Machine(installation, epochs=200)
    host = machine.start(machine.claim())
    machine.wait_for_event("progress", 3)
    engine = machine.look()["engine"]
    machine.do("TrainingRun.objects.filter(pk=PK).update(attempt=2, claim='another')".replace("PK", str(machine.pk)))
    assert machine.end_of(host) == 3
    assert not alive(engine)
    seen = machine.look()
    assert (seen["status"], seen["attempt"], seen["claim"]) == ("running", 2, "another")
    offset = seen["offset"]
    time.sleep(0.5)
    assert machine.look()["offset"] == offset


@pytest.mark.slow
def test_a_host_that_is_asked_to_stop_saves_and_waits_for_the_next_start(installation: Installation) -> None:
    machine = Machine(installation, epochs=200)
    host = machine.start(machine.claim())
    machine.wait_for_event("checkpoint")
    host.send_signal(signal.SIGTERM)
    assert machine.end_of(host) == 0
    seen = machine.look()
    assert (seen["status"], seen["claim"], seen["attempt"]) == ("queued", "", 0)
    assert seen["checkpoints"]


@pytest.mark.slow
def test_a_run_whose_engine_alone_is_asked_to_stop_is_not_paused_for_ever(installation: Installation) -> None:
    machine = Machine(installation, epochs=200)
    host = machine.start(machine.claim())
    machine.wait_for_event("checkpoint")
    os.kill(machine.look()["engine"], signal.SIGTERM)
    assert machine.end_of(host) == 0
    assert (machine.events()[-1]["type"], machine.events()[-1]["reason"]) == ("stopped", "pause")
    seen = machine.look()
    assert (seen["status"], seen["claim"], seen["attempt"], seen["lease"]) == ("queued", "", 0, 0)


@pytest.mark.slow
def test_a_cancel_of_a_run_that_is_pausing_ends_it_as_cancelled(installation: Installation) -> None:
    machine = Machine(installation, epochs=200)
    host = machine.start(machine.claim())
    machine.wait_for_event("checkpoint")
    seen = machine.look()
    assert seen["ticks"] == [ticks_of(seen["host"]), ticks_of(seen["engine"])]
    (folder,) = (installation.var_dir / "training").iterdir()
    # Each is stopped where it would be too fast: the engine before it hears of the pause, the host before it hears of
    # the engine's end.
    os.kill(seen["engine"], signal.SIGSTOP)
    machine.do("jobs.job_pause(actor=None, row=run)")
    wait_for(lambda: (folder / "control").exists(), what="the host to pass the pause on")
    host.send_signal(signal.SIGSTOP)
    os.kill(seen["engine"], signal.SIGCONT)
    machine.wait_for_event("stopped")
    wait_for(lambda: not alive(seen["engine"]), what="the engine to end")
    machine.do("jobs.job_cancel(actor=None, row=run)")
    host.send_signal(signal.SIGCONT)
    assert machine.end_of(host) == 0
    assert machine.events()[-1]["reason"] == "pause"
    seen = machine.look()
    assert (seen["status"], seen["model"]) == ("cancelled", "failed")


@pytest.mark.slow
def test_a_host_whose_device_was_taken_saves_and_waits_for_its_turn(installation: Installation) -> None:
    machine = Machine(installation, epochs=200)
    host = machine.start(machine.claim())
    machine.wait_for_event("checkpoint")
    # As the host of another run does when this one has slept for longer than its lease lasts.
    machine.do(OTHER_RUN_TAKES_THE_DEVICE)
    assert machine.end_of(host) == 0
    seen = machine.look()
    assert (seen["status"], seen["claim"], seen["attempt"], seen["lease"]) == ("queued", "", 0, 1)
    assert (machine.events()[-1]["type"], machine.events()[-1]["reason"]) == ("stopped", "pause")
    assert not alive(seen["engine"])
    # The device is still the other run's: the next attempt starts no engine, and is no failed one.
    assert machine.host() == 3
    again = machine.look()
    assert (again["status"], again["attempt"], again["engine"]) == ("queued", 0, seen["engine"])


# --- which process is the host


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def ticks_of(pid: int) -> int:
    """Field 22 of proc(5): when the process started, in clock ticks since the machine did."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_what_is_left_of_an_attempt_is_killed_before_the_next(sleeper: "subprocess.Popen[bytes]") -> None:
    run = TrainingRun(engine_pid=sleeper.pid, engine_started_ticks=ticks_of(sleeper.pid))
    assert not launch.host_may_resume(run)
    sleeper.wait(10)
    assert sleeper.returncode == -signal.SIGKILL
    assert launch.host_may_resume(run)


def test_a_process_that_got_the_number_later_is_not_killed(sleeper: "subprocess.Popen[bytes]") -> None:
    ticks = ticks_of(sleeper.pid) - 1
    run = TrainingRun(
        host_pid=sleeper.pid, host_started_ticks=ticks, engine_pid=sleeper.pid, engine_started_ticks=ticks
    )
    assert launch.host_may_resume(run)
    assert sleeper.poll() is None


def test_a_run_that_never_had_a_host_may_go_on_at_once() -> None:
    assert launch.host_may_resume(TrainingRun())


def test_a_process_that_ends_while_it_is_looked_at_is_no_error(
    sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_pid: int, _number: int) -> None:
        raise ProcessLookupError

    run = TrainingRun(host_pid=sleeper.pid, host_started_ticks=ticks_of(sleeper.pid))
    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", gone)
        assert launch.host_may_resume(run)
