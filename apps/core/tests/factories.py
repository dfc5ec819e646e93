"""Rows for tests. `TeamFactory()` is enough to begin with; every row below takes its team from its parent."""

import datetime
from collections.abc import Sequence
from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from apps.accounts.models import Membership, Team, User
from apps.billing.models import AlertDestination, Budget, LedgerEntry, Price, Reservation
from apps.core.encryption import seal
from apps.core.models.base import new_uid
from apps.core.roles import Role
from apps.evaluation.models import Evaluation, Output, Score
from apps.experiments.models import (
    Candidate,
    Dataset,
    DatasetImport,
    DatasetVersion,
    Experiment,
    Prompt,
    PromptVersion,
    Upload,
)
from apps.feedback.models import Feedback
from apps.providers.models import LanguageModel, Provider, ProviderKey
from apps.training.models import ModelVersion, Preflight, TrainingRun
from apps.workspace.models import ExperimentRun

PASSWORD = "correct horse battery staple"  # noqa: S105 - signs in people who exist in test databases alone
# Keys that open nothing, planted to be looked for: stored with a team's key, in the environment, and sent by a form.
PROVIDER_SECRET = "sk-planted-0123456789-wxyz"  # noqa: S105
ENVIRONMENT_SECRET = "sk-environment-0123456789-vwxy"  # noqa: S105
SENT_SECRET = "sk-sent-0123456789-uvwx"  # noqa: S105
PLANTED = (PROVIDER_SECRET, ENVIRONMENT_SECRET, SENT_SECRET)


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"person{n}@example.com")
    name = factory.LazyAttribute(lambda user: user.email.partition("@")[0].capitalize())
    password = factory.django.Password(PASSWORD)


class TeamFactory(DjangoModelFactory[Team]):
    class Meta:
        model = Team

    name = factory.Sequence(lambda n: f"Team {n}")
    slug = factory.Sequence(lambda n: f"team-{n}")
    time_zone = "Europe/Berlin"


class MembershipFactory(DjangoModelFactory[Membership]):
    class Meta:
        model = Membership

    team = factory.SubFactory(TeamFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.OWNER


class LanguageModelFactory(DjangoModelFactory[LanguageModel]):
    class Meta:
        model = LanguageModel

    team = factory.SubFactory(TeamFactory)
    name = factory.Sequence(lambda n: f"Small model {n}")
    kind = LanguageModel.Kind.LOCAL
    state = LanguageModel.State.READY
    served_name = factory.Sequence(lambda n: f"small-{n}")
    revision = "r1"
    context_length = 2048


class ProviderKeyFactory(DjangoModelFactory[ProviderKey]):
    """A key for OpenAI that was tested and works; its secret is `PROVIDER_SECRET`."""

    class Meta:
        model = ProviderKey

    team = factory.SubFactory(TeamFactory)
    provider = Provider.OPENAI
    name = factory.Sequence(lambda n: f"Key {n}")
    secret = factory.LazyAttribute(lambda key: seal(PROVIDER_SECRET, context=f"provider_key:{key.uid}"))
    uid = factory.LazyFunction(new_uid)
    last_four = PROVIDER_SECRET[-4:]
    state = ProviderKey.State.WORKING


class CommercialModelFactory(LanguageModelFactory):
    kind = LanguageModel.Kind.COMMERCIAL
    name = factory.Sequence(lambda n: f"GPT {n}")
    served_name = factory.Sequence(lambda n: f"gpt-{n}")
    revision = ""
    provider = Provider.OPENAI
    provider_model = factory.SelfAttribute("served_name")
    provider_key = factory.SubFactory(ProviderKeyFactory, team=factory.SelfAttribute("..team"))


class DatasetFactory(DjangoModelFactory[Dataset]):
    class Meta:
        model = Dataset

    team = factory.SubFactory(TeamFactory)
    name = factory.Sequence(lambda n: f"Addresses {n}")
    split_seed = 7
    created_by = factory.SubFactory(UserFactory)


class DatasetVersionFactory(DjangoModelFactory[DatasetVersion]):
    class Meta:
        model = DatasetVersion

    dataset = factory.SubFactory(DatasetFactory)
    number = factory.Sequence(lambda n: n + 1)
    content_hash = factory.Sequence(lambda n: f"{n:064x}")
    artifact = ""
    train_count = 0
    validation_count = 0
    test_count = 0


class UploadFactory(DjangoModelFactory[Upload]):
    class Meta:
        model = Upload

    team = factory.SubFactory(TeamFactory)
    created_by = factory.SubFactory(UserFactory)
    name = factory.Sequence(lambda n: f"table-{n}.csv")
    stored_name = factory.Sequence(lambda n: f"{n:032x}")
    size_bytes = 1000
    sha256 = factory.Sequence(lambda n: f"{n:064x}")


class DatasetImportFactory(DjangoModelFactory[DatasetImport]):
    class Meta:
        model = DatasetImport

    upload = factory.SubFactory(UploadFactory)
    team = factory.SelfAttribute("upload.team")
    created_by = factory.SelfAttribute("upload.created_by")
    name = factory.Sequence(lambda n: f"Imported {n}")
    split_seed = 7


class PromptFactory(DjangoModelFactory[Prompt]):
    class Meta:
        model = Prompt

    team = factory.SubFactory(TeamFactory)
    name = factory.Sequence(lambda n: f"Prompt {n}")


class PromptVersionFactory(DjangoModelFactory[PromptVersion]):
    class Meta:
        model = PromptVersion

    prompt = factory.SubFactory(PromptFactory)
    number = factory.Sequence(lambda n: n + 1)
    messages = factory.LazyFunction(lambda: [{"role": "user", "content": "{{ input }}"}])
    content_hash = factory.Sequence(lambda n: f"{n:064x}")


class ExperimentFactory(DjangoModelFactory[Experiment]):
    class Meta:
        model = Experiment

    team = factory.SubFactory(TeamFactory)
    name = factory.Sequence(lambda n: f"Experiment {n}")
    question = "Which model should we ship?"
    dataset_version = factory.SubFactory(
        DatasetVersionFactory,
        dataset__team=factory.SelfAttribute("...team"),
        dataset__created_by=factory.SelfAttribute("...created_by"),
    )
    metrics = factory.LazyFunction(lambda: ["field_f1", "exact_match", "valid_rate"])
    primary_metric = "field_f1"
    margin = 0.05
    bootstrap_seed = 11
    created_by = factory.SubFactory(UserFactory)


class CandidateFactory(DjangoModelFactory[Candidate]):
    class Meta:
        model = Candidate

    experiment = factory.SubFactory(ExperimentFactory)
    name = factory.Sequence(lambda n: f"Candidate {n}")
    kind = "prompted"
    position = factory.Sequence(lambda n: n)
    language_model = factory.SubFactory(LanguageModelFactory, team=factory.SelfAttribute("..experiment.team"))
    prompt_version = factory.SubFactory(PromptVersionFactory, prompt__team=factory.SelfAttribute("...experiment.team"))
    parameters = factory.LazyFunction(lambda: {"max_tokens": 64, "temperature": 0.0, "stop": []})


class EvaluationFactory(DjangoModelFactory[Evaluation]):
    class Meta:
        model = Evaluation

    candidate = factory.SubFactory(CandidateFactory)
    experiment = factory.SelfAttribute("candidate.experiment")
    split = "validation"
    purpose = Evaluation.Purpose.CHOICE


class PriceFactory(DjangoModelFactory[Price]):
    """An assumed price of the team's own machine: 0.36 USD an hour, which is 100,000 nano-dollars a second."""

    class Meta:
        model = Price

    team = None
    served_name = "*"
    unit = "compute_hour"
    nanousd_per_hour = 360_000_000
    assumed = True
    source = "tests"
    valid_from = factory.LazyFunction(lambda: timezone.now() - datetime.timedelta(days=1))


class UnknownFactory(DjangoModelFactory[Reservation]):
    """An attempt that was sent, and whose end nobody saw; its entry is made by `entry_of`."""

    class Meta:
        model = Reservation

    team = factory.SubFactory(TeamFactory)
    language_model = factory.SubFactory(LanguageModelFactory, team=factory.SelfAttribute("..team"))
    price = factory.SubFactory(PriceFactory, team=factory.SelfAttribute("..team"))
    purpose = "playground"
    state = Reservation.State.UNKNOWN
    held_nanousd = 1
    sent_at = factory.LazyFunction(timezone.now)
    expires_at = factory.LazyFunction(timezone.now)


def entry_of(reservation: Reservation, *, kind: str = "settled", amount_nanousd: int = 1, **more: Any) -> LedgerEntry:
    """What the ledger writes of a reservation when it is closed."""
    return LedgerEntry.objects.create(
        team=reservation.team,
        reservation=reservation,
        experiment=reservation.experiment,
        language_model=reservation.language_model,
        price=reservation.price,
        person=reservation.person,
        api_key=reservation.api_key,
        purpose=reservation.purpose,
        kind=kind,
        amount_nanousd=amount_nanousd,
        **more,
    )


class FeedbackFactory(DjangoModelFactory[Feedback]):
    """A thumb up on `generation`, which is an entry of the ledger."""

    class Meta:
        model = Feedback

    generation = factory.LazyAttribute(lambda row: entry_of(UnknownFactory.create(team=row.team, state="settled")))
    team = factory.SubFactory(TeamFactory)
    kind = Feedback.Kind.THUMB
    thumb_up = True
    person = factory.SubFactory(UserFactory)
    given_at = factory.LazyFunction(timezone.now)


class BudgetFactory(DjangoModelFactory[Budget]):
    class Meta:
        model = Budget

    team = factory.SubFactory(TeamFactory)
    period = Budget.Period.TOTAL
    limit_nanousd = 5_000_000_000


class AlertDestinationFactory(DjangoModelFactory[AlertDestination]):
    class Meta:
        model = AlertDestination

    team = factory.SubFactory(TeamFactory)
    kind = AlertDestination.Kind.EMAIL
    address = factory.Sequence(lambda n: f"alerts{n}@example.com")


class TrainingRunFactory(DjangoModelFactory[TrainingRun]):
    class Meta:
        model = TrainingRun

    team = factory.SubFactory(TeamFactory)
    name = factory.Sequence(lambda n: f"Training {n}")
    base_model = factory.SubFactory(LanguageModelFactory, team=factory.SelfAttribute("..team"))
    language_model = factory.SubFactory(
        LanguageModelFactory,
        team=factory.SelfAttribute("..team"),
        kind=LanguageModel.Kind.TRAINED,
        state=LanguageModel.State.PLANNED,
    )
    dataset_version = factory.SubFactory(DatasetVersionFactory, dataset__team=factory.SelfAttribute("...team"))
    prompt_version = factory.SubFactory(PromptVersionFactory, prompt__team=factory.SelfAttribute("...team"))
    spec = factory.LazyFunction(dict)
    created_by = factory.SubFactory(UserFactory)


class PreflightFactory(DjangoModelFactory[Preflight]):
    class Meta:
        model = Preflight

    team = factory.SubFactory(TeamFactory)
    base_model = factory.SubFactory(LanguageModelFactory, team=factory.SelfAttribute("..team"), artifact="models/base")
    dataset_version = factory.SubFactory(DatasetVersionFactory, dataset__team=factory.SelfAttribute("...team"))
    prompt_version = factory.SubFactory(PromptVersionFactory, prompt__team=factory.SelfAttribute("...team"))
    spec = factory.LazyFunction(lambda: {"method": "lora", "epochs": 1})
    digest = factory.Sequence(lambda n: f"{n:064x}")
    created_by = factory.SubFactory(UserFactory)


class ModelVersionFactory(DjangoModelFactory[ModelVersion]):
    class Meta:
        model = ModelVersion

    run = factory.SubFactory(TrainingRunFactory)
    team = factory.SelfAttribute("run.team")
    language_model = factory.SelfAttribute("run.language_model")
    number = factory.Sequence(lambda n: n + 1)
    digest = factory.Sequence(lambda n: f"{n:064x}")


class OutputFactory(DjangoModelFactory[Output]):
    class Meta:
        model = Output

    evaluation = factory.SubFactory(EvaluationFactory)
    example_id = factory.Sequence(lambda n: f"{n:032x}")
    text = '{"city":"Springfield"}'
    latency_ms = 12.5


class ScoreFactory(DjangoModelFactory[Score]):
    class Meta:
        model = Score

    output = factory.SubFactory(OutputFactory)
    metric = "field_f1"
    signature = "field_f1"
    value = 1.0


def run_definition(*, draw_seeds: Sequence[int] = (1,)) -> dict[str, Any]:
    """With everything that makes a run walk all steps."""
    few_shot = {"sample": 2, "draw_seeds": list(draw_seeds)}
    return {"prompts": {"plain": {}, "few_shot": few_shot, "tuned": {}}, "training": {}}


class QuickstartFactory(DjangoModelFactory[ExperimentRun]):
    class Meta:
        model = ExperimentRun

    team = factory.SubFactory(TeamFactory)
    actor = factory.SubFactory(UserFactory)
    definition = factory.LazyFunction(run_definition)
    definition_hash = factory.Sequence(lambda n: f"{n:064x}")
