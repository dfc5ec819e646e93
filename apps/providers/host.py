"""The process that brings one model in: it starts the importing steps, passes on their progress, stores the result."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import audit, jobs
from apps.core.artifacts import folder_digest, local_folder, put_folder
from apps.core.engine.messages import Sentence
from apps.core.errors import translated
from apps.core.models import JobStatus
from apps.core.pace import PhasePace
from apps.core.processes.tree import process_key
from apps.providers.engine.catalogue import known_as, serving_bytes
from apps.providers.models import UNIT_BYTES, LanguageModel, ModelFetch
from apps.providers.selectors import upload_path
from apps.providers.services.fetches import model_fetch_refused, model_fetch_taken_up
from apps.providers.services.language_models import language_model_ready

log = logging.getLogger(__name__)
POLL_SECONDS = 0.5
STEP_SECONDS = 3 * 3600.0
LONGEST_EVENT = 4096
# Refusals that say nothing against the files.
RETRIED = frozenset({"disk_full", "died"})


class StepRefused(Exception):
    """A step has said why the model is not taken."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


class Stopped(Exception):
    """The job was cancelled or paused, or another attempt has taken it over: nothing more is written."""


def host_run(pk: int, *, claim: str) -> int:
    """Bring one model in, from the claim to the end of the job. Returns the exit code."""
    fetch = ModelFetch.objects.select_related("language_model", "team").filter(pk=pk, claim=claim).first()
    if fetch is None:
        return 3
    key = process_key(os.getpid())
    if not jobs.heartbeat(fetch, host_pid=os.getpid(), host_started_ticks=key.started if key else None):
        return 3
    model_fetch_taken_up(actor=None, fetch=fetch)
    folder = Path(settings.VAR_DIR) / "imports" / str(fetch.uid)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _bring_in(fetch, folder)
    except StepRefused as refused:
        model_fetch_refused(actor=None, fetch=fetch, code=refused.code, error=refused.sentence)
        # What the next try goes on from is kept: what has arrived of a download, and files that were not at fault.
        if refused.code == "hostile" or not (fetch.source == ModelFetch.Source.HUB or refused.code in RETRIED):
            _clean(fetch, folder)
    except Stopped:
        return 3
    else:
        _clean(fetch, folder)
    return 0


def _clean(fetch: ModelFetch, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if fetch.source == ModelFetch.Source.UPLOAD:
        upload_path(fetch.location).unlink(missing_ok=True)


def _bring_in(fetch: ModelFetch, folder: Path) -> None:
    served = fetch.language_model.served_name
    stored = local_folder(f"models/{served}")
    if not (stored / "info.json").is_file():
        found = _step(fetch, folder, "unpack", _unpack_spec(fetch))
        base = _base(fetch, found) if found["kind"] == "adapter" else None
        spec = {"source": found["folder"], "base": str(_weights(base)) if base else "", "info": _info(found, base)}
        _step(fetch, folder, "prepare", spec)
        _heard(fetch, lambda: put_folder(folder / "result", f"models/{served}"))
    # Of what is stored, which another team's download of the same commit may have put there.
    _ready(fetch, stored)


def _unpack_spec(fetch: ModelFetch) -> dict[str, Any]:
    if fetch.source == ModelFetch.Source.FOLDER:
        return {"from": "folder", "path": fetch.location}
    if fetch.source == ModelFetch.Source.UPLOAD:
        path = upload_path(fetch.location)
        if not path.is_file():
            raise StepRefused("not_a_model", _("The file that was sent is no longer here. Send it again."))
        return {"from": "archive", "path": str(path), "most_bytes": 3 * settings.MODEL_UPLOAD_MAX_BYTES}
    known = known_as(fetch.language_model.served_name)
    if known is None:
        raise StepRefused("not_a_model", _("This model is no longer in the list. Choose one that is."))
    hub = {
        "repository": known.repository,
        "revision": known.revision,
        "weights_bytes": known.weights_bytes if known.size_is_exact else None,
        "weights_sha256": known.weights_sha256,
        # For the form that is served.
        "spare_bytes": serving_bytes(known.parameters),
    }
    return {"from": "hub", "hub": hub}


def _info(found: dict[str, Any], base: LanguageModel | None) -> dict[str, Any]:
    info: dict[str, Any] = {key: found[key] for key in ("kind", "parameters", "left_out", "checked_by") if key in found}
    if base is None:
        return info
    parameters = base.facts.get("parameters")
    return {
        **info,
        "adapter_parameters": info["parameters"],
        "parameters": parameters,
        "base_model": base.name,
        "base_revision": base.revision,
    }


def _base(fetch: ModelFetch, found: dict[str, Any]) -> LanguageModel:
    """What an adapter is added to: the chosen model, else the ready one of the name that it gives."""
    if fetch.base_model is not None:
        return fetch.base_model
    wanted = str(found["base_name"])
    ready = LanguageModel.objects.filter(team=fetch.team, state=LanguageModel.State.READY)
    for model in ready.exclude(kind=LanguageModel.Kind.BASELINE).order_by("-pk"):
        names = {model.name, model.served_name, str(model.facts.get("source", {}).get("repository", ""))}
        if wanted and (wanted in names or wanted.rpartition("/")[2] in names):
            return model
    raise StepRefused(
        "no_base",
        _("The adapter was made for %(base)s, which is not among this team's ready models.")
        % {"base": wanted or _("a base model that it does not name")},
    )


def _weights(base: LanguageModel) -> Path:
    folder = local_folder(base.artifact)
    return next((folder / name for name in ("merged", "hf") if (folder / name).is_dir()), folder / "hf")


def _step(fetch: ModelFetch, folder: Path, step: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Run one importing step as a process; StepRefused with its sentence when it says no."""
    threads = settings.TRAINING_THREADS or os.cpu_count() or 1
    for name in ("result.json", "events.jsonl"):
        (folder / name).unlink(missing_ok=True)
    (folder / "spec.json").write_text(json.dumps({**spec, "threads": threads}), encoding="utf-8")
    with (folder / "step.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "apps.providers.engine.importing", step, str(folder), "--parent-death"],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # What is opened here came from a stranger: the process gets no secret of ours.
            env={key: os.environ[key] for key in _PASSED_ON if key in os.environ},
        )
    code = _follow(fetch, folder, process)
    result = folder / "result.json"
    content: dict[str, Any] = json.loads(result.read_text(encoding="utf-8")) if result.is_file() else {}
    if code == 0:
        return content
    if "sentence" in content:
        raise StepRefused(content["code"], translated(Sentence.from_json(content["sentence"])))
    log.error("a step of a model import ended", extra={"fetch": str(fetch.uid), "step": step, "code": code})
    raise StepRefused("died", _died(code))


_PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH",
    "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
    "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
)  # fmt: skip


def _died(code: int) -> str:
    if code == -signal.SIGKILL:
        return _("The process was ended by the system, most likely because the model needs more memory than is free.")
    return _("The process that read the model ended unexpectedly (exit code %(code)d).") % {"code": code}


def _follow(fetch: ModelFetch, folder: Path, process: subprocess.Popen[bytes]) -> int:
    """Heartbeats and progress until the step ends; its process is killed when the job stops or takes too long."""
    deadline, pace = time.monotonic() + STEP_SECONDS, PhasePace()
    try:
        while True:
            code = process.poll()
            at = _progress(folder)
            if not jobs.heartbeat(fetch, **at, **(pace.left(**at) if at else {})):
                raise Stopped
            if code is not None:
                return code
            _obey(fetch)
            if time.monotonic() > deadline:
                raise StepRefused("died", _("Reading the model took longer than three hours and was stopped."))
            time.sleep(POLL_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _heard(fetch: ModelFetch, work: Callable[[], str]) -> str:
    """Heartbeats while a thread works: reading a large model takes longer than the reaper waits."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        working = pool.submit(work)
        while wait([working], timeout=settings.JOB_HEARTBEAT_SECONDS).not_done:
            if not jobs.heartbeat(fetch):
                raise Stopped
    return working.result()


def _obey(fetch: ModelFetch) -> None:
    flags = ModelFetch.objects.values("cancel_requested", "pause_requested").get(pk=fetch.pk)
    if flags["cancel_requested"] or flags["pause_requested"]:
        jobs.finish(fetch, to=JobStatus.CANCELLED if flags["cancel_requested"] else JobStatus.PAUSED, phase="")
        raise Stopped


def _progress(folder: Path) -> dict[str, Any]:
    """The last event that was written, in UNIT_BYTES: the columns hold no number as large as a model."""
    path = folder / "events.jsonl"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_EVENT))
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    try:
        event = json.loads(last)
    except ValueError:
        return {}
    return {"phase": event["phase"], "done": event["done"] // UNIT_BYTES, "total": event["total"] // UNIT_BYTES}


def _ready(fetch: ModelFetch, stored: Path) -> None:
    """Freeze what came in on the model and end the job: both or neither."""
    info = json.loads((stored / "info.json").read_text(encoding="utf-8"))
    digest = _heard(fetch, lambda: folder_digest(stored))
    facts = {**fetch.language_model.facts, **info, "weights": digest}
    with transaction.atomic():
        if not jobs.finish(fetch, phase="", error_code=""):
            raise Stopped
        language_model_ready(
            actor=None,
            model=fetch.language_model,
            revision=digest[:16],
            artifact=f"models/{fetch.language_model.served_name}",
            context_length=info["context_length"],
            facts=facts,
        )
        audit.record(actor=None, verb="model_fetch.finished", target=fetch, digest=digest, backend=info["backend"])
