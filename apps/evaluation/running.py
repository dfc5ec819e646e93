"""One slice of an evaluation: at most a minute of calls in one asyncio loop, everything stored as it arrives."""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from apps.billing.metering import (
    BudgetExceeded,
    CallPostponed,
    GenerateRequest,
    MeteredCall,
    MeteredResult,
    Metering,
    ModelFacts,
)
from apps.core import jobs, live
from apps.core.db import in_database
from apps.core.errors import translated
from apps.core.models import JobStatus
from apps.core.pace import seconds_left
from apps.core.processes import stopping
from apps.evaluation.models import Evaluation
from apps.evaluation.services.scoring import output_store, prompt_failure_store
from apps.experiments import rows
from apps.experiments.engine.prompts import PromptError, PromptSpec, render_messages
from apps.experiments.engine.rows import Example
from apps.experiments.selectors import prompt_spec
from apps.providers.engine.messages import Message

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0


@dataclass(frozen=True)
class Plan:
    """What a slice works on, read once before the loop."""

    evaluation: Evaluation
    examples: dict[str, Example]
    pending: tuple[tuple[str, int], ...]
    done_before: int
    prompt: PromptSpec | None
    model: ModelFacts
    parameters: dict[str, Any]


def read_plan(evaluation: Evaluation) -> Plan:
    """Everything that is still missing, in visiting order. The loop itself must find every related row loaded."""
    examples = rows.rows_for_evaluation(evaluation)
    stored = set(evaluation.outputs.values_list("example_id", "repeat"))
    wanted = [(id_, repeat) for repeat in range(evaluation.repeats) for id_ in evaluation.example_ids]
    candidate = evaluation.candidate
    version = candidate.prompt_version
    return Plan(
        evaluation=evaluation,
        examples=examples,
        pending=tuple(item for item in wanted if item not in stored),
        done_before=len(stored),
        prompt=prompt_spec(version) if version is not None else None,
        model=ModelFacts.of(candidate.language_model),
        parameters=candidate.parameters,
    )


class Slice:
    """Calls with bounded concurrency until the work, the time or the claim ends."""

    def __init__(self, plan: Plan, *, seconds: float) -> None:
        self.plan = plan
        self.evaluation = plan.evaluation
        self.waiting = deque(plan.pending)
        self.stored = 0
        self.started = time.monotonic()
        self.deadline = self.started + seconds
        self.lost_claim = False
        self.stop_requested = False
        self.budget_error: BudgetExceeded | None = None

    @property
    def finished(self) -> bool:
        return self.plan.done_before + self.stored >= len(self.plan.evaluation.example_ids) * self.evaluation.repeats

    @property
    def should_stop(self) -> bool:
        late = time.monotonic() >= self.deadline or stopping.requested()
        return late or self.lost_claim or self.stop_requested or self.budget_error is not None

    async def run(self) -> None:
        concurrency = min(settings.EVALUATION_CONCURRENCY, max(1, len(self.waiting)))
        async with Metering(should_stop=lambda: self.should_stop) as metering:
            # Before the first call: a claim that is lost or a wish to stop must cost nothing.
            await in_database(self._heartbeat)
            beat = asyncio.create_task(self._beat())
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(concurrency):
                        group.create_task(self._work(metering))
            finally:
                beat.cancel()
                await asyncio.gather(beat, return_exceptions=True)
        await in_database(self._heartbeat)

    async def _work(self, metering: Metering) -> None:
        while self.waiting and not self.should_stop:
            example_id, repeat = self.waiting.popleft()
            example = self.plan.examples[example_id]
            try:
                await self._answer(metering, example, repeat)
            except BudgetExceeded as error:
                self.budget_error = error
                return
            except CallPostponed:
                return  # nothing is stored or held; the next slice finds it missing
            self.stored += 1

    async def _answer(self, metering: Metering, example: Example, repeat: int) -> None:
        """Call the model and store its output. An example that no prompt can be made for is stored as failed."""
        try:
            messages = self._messages(example)
        except PromptError as error:
            keep = partial(prompt_failure_store, actor=None, evaluation=self.evaluation, reason=translated(error))
            await in_database(partial(keep, example=example, repeat=repeat))
        else:
            await metering.generate(self._call(messages, example, repeat))

    def _messages(self, example: Example) -> tuple[Message, ...]:
        if self.plan.prompt is None:
            return (Message(role="user", content=example.input),)
        return render_messages(self.plan.prompt, example.input, example.columns)

    def _call(self, messages: tuple[Message, ...], example: Example, repeat: int) -> MeteredCall:
        evaluation, model, parameters = self.evaluation, self.plan.model, self.plan.parameters

        def store(result: MeteredResult) -> None:
            output_store(actor=None, evaluation=evaluation, example=example, repeat=repeat, result=result)

        return MeteredCall(
            team_id=evaluation.experiment.team_id,
            experiment_id=evaluation.experiment_id,
            language_model=model,
            request=GenerateRequest(
                model=model.call_name,
                messages=messages,
                max_tokens=parameters["max_tokens"],
                temperature=parameters["temperature"],
                reasoning_effort=parameters.get("reasoning_effort", ""),
            ),
            purpose=f"output:{evaluation.uid}:{example.id}:{repeat}",
            repeat=repeat,
            store=store,
            person_id=evaluation.started_by_id,
        )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await in_database(self._heartbeat)
            except DatabaseError:
                # The next beat may get through; without one the reaper gives the evaluation to another worker.
                log.exception("a heartbeat failed", extra={"evaluation": str(self.evaluation.uid)})

    def _heartbeat(self) -> None:
        """Progress and time left, at the pace of all slices so far; the flags of the row come back with it."""
        # A slice that was killed left outputs and no seconds: without any, this slice has to say how fast it goes.
        before = self.plan.done_before if self.evaluation.work_seconds > 0 else 0
        pace = seconds_left(
            done=before + self.stored,
            left=len(self.plan.pending) - self.stored,
            seconds=self.evaluation.work_seconds + time.monotonic() - self.started,
        )
        held = jobs.heartbeat(
            self.evaluation,
            done=self.plan.done_before + self.stored,
            total=len(self.plan.evaluation.example_ids) * self.evaluation.repeats,
            phase="generating",
            **pace,
        )
        self.lost_claim = not held
        flags: Any = Evaluation.objects.values("cancel_requested", "pause_requested").get(pk=self.evaluation.pk)
        self.stop_requested = flags["cancel_requested"] or flags["pause_requested"]
        live.publish(self.evaluation.experiment, "progress")


def work_slice(evaluation: Evaluation) -> Slice:
    """Run one slice of a claimed evaluation and return how it went."""
    work = Slice(read_plan(evaluation), seconds=settings.EVALUATION_SLICE_SECONDS - 5)
    if work.waiting:
        asyncio.run(work.run())
    Evaluation.objects.filter(pk=evaluation.pk, claim=evaluation.claim, status=JobStatus.RUNNING).update(
        work_seconds=evaluation.work_seconds + time.monotonic() - work.started
    )
    return work
