"""The report of a finished experiment: computed once, stored as an artefact, never changed."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.access import require
from apps.core.artifacts import put_bytes
from apps.core.errors import Conflict
from apps.evaluation.engine.report import build_report, is_final
from apps.evaluation.models import Leaderboard
from apps.evaluation.reading import report_facts
from apps.evaluation.services.leaderboards import ended_count, without_outputs
from apps.experiments.models import Experiment
from apps.experiments.services.experiments import experiment_finish


def report_create(
    *,
    actor: Any,
    experiment: Experiment,
    training: Mapping[str, Any],
    seconds: Mapping[str, float],
    memory_mib: Mapping[str, float | None],
    versions: Mapping[str, str],
) -> str:
    """Write the final report and finish the experiment. Returns the artefact's name; again gives the stored one."""
    require(experiment, actor, "edit")
    experiment.refresh_from_db()
    if experiment.report_artifact:
        return experiment.report_artifact
    facts = report_facts(experiment, training=training, seconds=seconds, memory_mib=memory_mib, versions=versions)
    if not is_final(facts):
        raise Conflict(_("The report can be written when every candidate's evaluation has ended."))
    report = build_report(facts)
    data = json.dumps(report, ensure_ascii=False, allow_nan=False).encode()
    artifact = put_bytes(f"reports/{experiment.uid}/{ended_count(experiment)}-{_digest(data)}.json", data)
    conclusion: Any = report["conclusion"]
    with transaction.atomic():
        experiment_finish(
            actor=actor,
            experiment=experiment,
            conclusion_kind=conclusion["kind"],
            conclusion_text=conclusion["text"],
            report_artifact=artifact,
        )
        experiment.refresh_from_db()
        if experiment.report_artifact == artifact:  # of two written at once the first one counts
            figures = {"document": without_outputs(report), "ended_count": ended_count(experiment)}
            Leaderboard.objects.update_or_create(experiment=experiment, defaults=figures)
    return experiment.report_artifact


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
