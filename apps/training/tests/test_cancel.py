"""A training that is cancelled while no host works at it."""

import pytest
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.models import JobStatus
from apps.core.tests.factories import TrainingRunFactory
from apps.providers.models import LanguageModel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.mark.parametrize("status", [JobStatus.PLANNED, JobStatus.QUEUED, JobStatus.PAUSED])
def test_its_model_no_longer_waits_for_it(team: Team, alice: User, status: str) -> None:
    run = TrainingRunFactory.create(team=team, status=status, queued_at=timezone.now())
    LanguageModel.objects.filter(pk=run.language_model_id).update(state=LanguageModel.State.PLANNED)
    jobs.job_cancel(actor=alice, row=run)
    model = LanguageModel.objects.get(pk=run.language_model_id)
    assert (model.state, model.error) == (LanguageModel.State.FAILED, "Its training was cancelled.")
