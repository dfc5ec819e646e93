"""Refusals that need no model: what the rows of a plan are, and whether training and test share any."""

from django.utils.translation import gettext as _

from apps.core.engine.messages import Sentence, gettext_noop
from apps.core.errors import ApplicationError, translated
from apps.core.models import JobStatus
from apps.experiments.models import DatasetVersion
from apps.experiments.rows import train_rows_like_test_rows
from apps.training.engine.rowcheck import NAMED_ROWS, Refusal, check_rows, refusals_of
from apps.training.inputs import base_folder, planned_rows, tokenizer_of
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import Planned, plan_of, room_of

# What only measuring can tell; a machine may have changed since.
MEASURED_CODES = frozenset({"memory", "time"})
# Larger versions take minutes to compare: their preflight does it.
MOST_ROWS_AT_ONCE = 20_000


def leak_refusals(version: DatasetVersion) -> list[Refusal]:
    """Training rows whose input is a test row's too, or almost: the test would measure memory."""
    shared = train_rows_like_test_rows(version)
    if not shared:
        return []
    says = Sentence(
        gettext_noop(
            "%(count)s training rows have the input of a test row, or almost: the test would measure memory, not skill."
        ),
        count=len(shared),
    )
    fits = Sentence(gettext_noop("A version of the dataset without these rows would do."))
    return [Refusal("splits", says, fits, shared[:NAMED_ROWS])]


def row_refusals(plan: Planned) -> list[Refusal]:
    """Rows without a trained token, answers that would be cut, a stop token that would never be trained."""
    tokenizer = tokenizer_of(plan.base_model)
    found = planned_rows(plan)
    most = int(plan.spec.get("max_length", room_of(plan.base_model)))
    return refusals_of(
        check_rows(found.train, tokenizer, max_length=most),
        check_rows(found.validation, tokenizer, max_length=most),
        max_length=most,
        context_length=plan.base_model.context_length or most,
    )


def start_refusals(run: TrainingRun) -> list[Refusal]:
    """Why the run's data must not be trained on: as its preflight found, or found now where there was none."""
    plan = plan_of(run)
    known = run.preflight or preflight_of(run.team_id, plan)
    if known is not None and known.status == JobStatus.SUCCEEDED:
        return [refusal for refusal in refusals_in(known) if refusal.code not in MEASURED_CODES]
    if plan.dataset_version.row_count > MOST_ROWS_AT_ONCE:
        raise ApplicationError(
            _("This dataset has more than %(count)s rows: check the run first, then start it.")
            % {"count": f"{MOST_ROWS_AT_ONCE:,}"},
            code="preflight_needed",
        )
    leaks = leak_refusals(plan.dataset_version)
    # The engine refuses a folder without a tokenizer by itself, and says where it looked.
    if leaks or not (base_folder(plan.base_model) / "tokenizer.json").is_file():
        return leaks
    return row_refusals(plan)


def preflight_of(team_id: int, plan: Planned) -> Preflight | None:
    """The newest preflight of exactly this plan."""
    found: Preflight | None = Preflight.objects.filter(team_id=team_id, digest=plan.digest).order_by("-pk").first()
    return found


def measured_of(team_id: int, digest: str) -> Preflight | None:
    """The newest preflight that answered exactly this plan with the time that it takes."""
    found: Preflight | None = (
        Preflight.objects.filter(
            team_id=team_id, digest=digest, status=JobStatus.SUCCEEDED, result__seconds_high__isnull=False
        )
        .order_by("-pk")
        .first()
    )
    return found


def refusals_in(preflight: Preflight) -> list[Refusal]:
    return [Refusal.from_json(item) for item in preflight.result.get("refusals", [])]


def refusal_text(refusal: Refusal) -> str:
    """Why not, and what would do, in the reader's language."""
    said = [translated(refusal.says), *([translated(refusal.fits)] if refusal.fits is not None else [])]
    return " ".join(said)
