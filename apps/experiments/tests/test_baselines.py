"""Baselines are fitted to what the answers of a dataset are."""

import json

import pytest

from apps.accounts.models import Team, User
from apps.core.artifacts import get_bytes
from apps.core.errors import ApplicationError
from apps.experiments.models import DatasetVersion
from apps.experiments.services.baselines import NAMES, baseline_model
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.providers.engine.baselines import baselines_for, predict

ANSWERS = {
    "json": {"format": "json", "fields": ["city"]},
    "label": {"format": "label", "labels": ["north", "south"]},
    "text": {"format": "text"},
    "number": {"format": "number", "tolerance": 0.5},
}
EXPECTED = {
    "json": lambda n: json.dumps({"city": f"City{n * 7919 % 1000}"}),
    "label": lambda n: "north" if n % 2 else "south",
    "text": lambda n: f"Report {n} in short.",
    "number": lambda n: str(n / 4),
}
pytestmark = pytest.mark.django_db


def version_of(team: Team, actor: User, format_: str) -> DatasetVersion:
    dataset = dataset_create(actor=actor, team=team, name=format_, split_seed=7)
    pairs = [
        (f"{'Snow' if n % 2 else 'Sun'} {n * 7919 % 1000} over City{n * 631}. It lasts.", EXPECTED[format_](n))
        for n in range(60)
    ]
    return dataset_version_create(actor=actor, dataset=dataset, pairs=pairs, answer=ANSWERS[format_])


@pytest.mark.parametrize("format_", ANSWERS)
def test_every_method_of_a_format_becomes_a_named_model(team: Team, bob: User, format_: str) -> None:
    version = version_of(team, bob, format_)
    methods = baselines_for(version.answer)
    models = [baseline_model(actor=bob, team=team, dataset_version=version, method=method) for method in methods]
    assert [model.name for model in models] == [NAMES[method] for method in methods]
    for model in models:
        artefact = json.loads(get_bytes(model.artifact))
        assert artefact["kind"] == model.facts["method"]
        assert predict(artefact, "Snow 1 over City1. It lasts.")
    assert set(NAMES) >= set(methods)


def test_the_label_baseline_learns_the_words(team: Team, bob: User) -> None:
    version = version_of(team, bob, "label")
    model = baseline_model(actor=bob, team=team, dataset_version=version, method="tfidf_logistic")
    artefact = json.loads(get_bytes(model.artifact))
    answers = (predict(artefact, "Snow over City5. It lasts."), predict(artefact, "Sun over City5. It lasts."))
    assert answers == ("north", "south")


def test_a_method_of_another_format_is_refused(team: Team, bob: User) -> None:
    version = version_of(team, bob, "label")
    with pytest.raises(ApplicationError, match="does not fit what the answers"):
        baseline_model(actor=bob, team=team, dataset_version=version, method="token_lookup")


def test_what_cannot_be_fitted_is_said_with_its_reason(team: Team, bob: User) -> None:
    dataset = dataset_create(actor=bob, team=team, name="signs", split_seed=7)
    pairs = [("!" * (n + 1), "north" if n % 2 else "south") for n in range(60)]
    version = dataset_version_create(actor=bob, dataset=dataset, pairs=pairs, answer=ANSWERS["label"])
    with pytest.raises(ApplicationError, match="Logistic regression on words cannot be fitted.*has a word"):
        baseline_model(actor=bob, team=team, dataset_version=version, method="tfidf_logistic")
