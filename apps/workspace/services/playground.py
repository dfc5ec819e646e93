"""What the playground keeps: what was asked, what came of it, and what somebody made of it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.billing.calls import MeteredResult
from apps.billing.errors import UnknownPrice
from apps.billing.holders import is_dead, this_process
from apps.billing.models import LedgerEntry
from apps.billing.selectors import price_is_assumed
from apps.core import audit
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict
from apps.core.live import publish
from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.models import Candidate, Experiment, PromptVersion
from apps.experiments.services.prompts import prompt_version_create
from apps.feedback.models import Feedback
from apps.feedback.selectors import generation
from apps.feedback.services import feedback_give, feedback_withdraw
from apps.providers.models import LanguageModel
from apps.workspace.models import PlaygroundAnswer, PlaygroundRun, PlaygroundTurn
from apps.workspace.selectors.playground import choices_said, votable
from apps.workspace.services.chosen_models import models_use
from apps.workspace.services.drafts import candidates_add


def playground_run_create(*, actor: Any, team: Team, models: Sequence[str], setup: Mapping[str, Any]) -> PlaygroundRun:
    """Keep candidates and their input under a link. `models` as in models_use: a provider's model is added if need be.

    `setup` as in PlaygroundRun, its candidates in the order of `models`, whose public ids it gets here.
    """
    require(team, actor, "edit")
    with transaction.atomic():
        used = models_use(actor=actor, team=team, values=models)
        candidates = [
            {**candidate, "model": str(model.uid)} for candidate, model in zip(setup["candidates"], used, strict=True)
        ]
        run: PlaygroundRun = PlaygroundRun.objects.create(
            team=team, created_by=actor, setup={**setup, "candidates": candidates}
        )
        audit.record(actor=actor, verb="playground_run.created", target=run, candidates=len(candidates))
    return run


def playground_turn_take(*, actor: Any, run: PlaygroundRun, number: int, token: UUID, seconds: float) -> bool:
    """Whether the caller may ask a candidate now: it has no answer, and nobody else is asking it.

    The turn is the caller's, under `token`, until it is ended, its process dies, or `seconds` are over.
    """
    require(run, actor, "edit")
    now = timezone.now()
    mine = {"token": token, "holder": this_process(), "expires_at": now + timedelta(seconds=seconds)}
    with transaction.atomic():
        turn, made = PlaygroundTurn.objects.get_or_create(run=run, number=number, defaults=mine)
        if not made:
            if turn.expires_at > now and not is_dead(turn.holder):
                return False
            # Of several who find it abandoned, one takes it.
            if not PlaygroundTurn.objects.filter(pk=turn.pk, token=turn.token).update(**mine):
                return False
        # Looked for last: whoever had the turn before kept the answer before ending it.
        if not run.answers.filter(number=number).exists():
            return True
        playground_turn_end(actor=actor, run=run, token=token)
    return False


def playground_turn_end(*, actor: Any, run: PlaygroundRun, token: UUID) -> None:
    """Let others ask, if the turn is still this one's. Nobody is too late for that, whatever their role is by now."""
    PlaygroundTurn.objects.filter(run=run, token=token).delete()


def playground_answer_keep(
    *, actor: Any, run: PlaygroundRun, number: int, result: MeteredResult, model: LanguageModel | None
) -> PlaygroundAnswer:
    """Keep what a candidate answered, or why it did not. An answer that is there already stays as it is.

    Called where the answer is booked; the ledger entry says who spent, so there is no event of its own.
    """
    require(run, actor, "edit")
    answer: PlaygroundAnswer
    with transaction.atomic():
        answer, made = PlaygroundAnswer.objects.get_or_create(run=run, number=number, defaults=_facts(result, model))
        if made:
            publish(run, "answer")
    return answer


def _facts(result: MeteredResult, model: LanguageModel | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "model_name": model.name if model is not None else "",
        "text": result.text,
        "finish_reason": result.finish_reason[:100],
        "error": result.error_text.partition(": ")[2] or result.error_text,
        "error_code": (result.error_code or result.error)[:100],
        "generation_uid": UUID(hex=result.generation_uid) if result.generation_uid else None,
        "latency_ms": result.latency_ms,
        "first_piece_ms": result.first_piece_ms,
        "cost_nanousd": result.cost_nanousd,
        "saved_nanousd": result.original_cost_nanousd if result.cached else 0,
        "bounded": result.bounded,
        "cached": result.cached,
        "assumed": model is not None and _assumed(model),
        "prompt_tokens": result.prompt_tokens,
        "completion_tokens": result.completion_tokens,
    }
    return facts


def _assumed(model: LanguageModel) -> bool:
    try:
        return price_is_assumed(model)
    except UnknownPrice:
        return False


def playground_vote(*, actor: Any, run: PlaygroundRun, number: int) -> None:
    """Say that answer `number` of a run is better than each of the others: a choice for every pair with it.

    Said again for another answer, that one takes its place. Whoever may rate may vote.
    """
    require(run, actor, "rate")
    entries = {answer.number: _entry(actor, run, answer) for answer in votable(run)}
    if number not in entries or len(entries) < 2:
        raise ApplicationError(_("Vote for one of two answers or more."), field="better")
    better = entries.pop(number)
    with transaction.atomic():
        for other in entries.values():
            feedback_give(actor=actor, generation=better, kind=Feedback.Kind.CHOICE, other=other, preferred=better)


def playground_vote_withdraw(*, actor: Any, run: PlaygroundRun) -> None:
    """Take back every choice that `actor` has made between answers of a run."""
    require(run, actor, "rate")
    with transaction.atomic():
        for each in choices_said(user=actor, run=run):
            feedback_withdraw(actor=actor, feedback=each)


def _entry(actor: Any, run: PlaygroundRun, answer: PlaygroundAnswer) -> LedgerEntry:
    return generation(user=actor, team=run.team, uid=cast(UUID, answer.generation_uid), action="rate")


def playground_prompt_save(
    *,
    actor: Any,
    team: Team,
    name: str,
    spec: PromptSpec,
    begun_as: PromptVersion | None,
    columns: Sequence[str] = (),
) -> PromptVersion:
    """Save what a candidate says as a version of the prompt `name`, or of the one that it began as.

    Demonstrations are carried over within that prompt alone, where they were checked.
    """
    if not name.strip():
        if begun_as is None:
            raise ApplicationError(_("Give the prompt a name."), code="name_invalid", field="name")
        name = begun_as.prompt.name
    return prompt_version_create(
        actor=actor,
        team=team,
        name=name,
        spec=spec,
        columns=columns,
        carried_from=begun_as if spec.demonstrations else None,
        note=_("Written in the playground"),
    )


def playground_candidate_add(
    *,
    actor: Any,
    experiment: Experiment,
    model: str,
    name: str,
    spec: PromptSpec,
    begun_as: PromptVersion | None,
    columns: Sequence[str],
    max_tokens: int,
    temperature: float,
) -> Candidate:
    """Make a candidate of a draft experiment out of one of the playground; what it says is saved first if it is new."""
    with transaction.atomic():
        require(experiment, actor, "edit")
        version = begun_as
        if version is None or spec.digest() != version.content_hash:
            version = playground_prompt_save(
                actor=actor, team=experiment.team, name=name, spec=spec, begun_as=begun_as, columns=columns
            )
        added = candidates_add(
            actor=actor,
            experiment=experiment,
            models=[model],
            prompts=[version],
            baselines=[],
            max_tokens=max_tokens,
            temperature=temperature,
        )
        if not added:
            raise Conflict(_("%(experiment)s has this candidate already.") % {"experiment": experiment.name})
    return added[0]
