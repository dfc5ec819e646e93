"""The label baseline predicts without scikit-learn exactly what scikit-learn predicts."""

import json
import random

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from apps.providers.engine.baselines import fit_tfidf_logistic, predict, predictor
from apps.providers.engine.label_regression import SEED

WORDS = {
    "sport": ["match", "goal", "team", "won", "the", "last", "night"],
    "money": ["bank", "shares", "fell", "the", "market", "won", "rate"],
    "weather": ["rain", "sun", "the", "last", "cold", "caf\u00e9", "8"],
}


def rows(names: list[str], count: int, seed: int) -> list[tuple[str, str]]:
    generator = random.Random(seed)
    made = []
    for _ in range(count):
        name = generator.choice(names)
        made.append((" ".join(generator.choices(WORDS[name], k=generator.randint(1, 8))).title(), name))
    return made


@pytest.mark.parametrize("names", [["sport", "money"], ["sport", "money", "weather"]], ids=["two", "three"])
def test_it_predicts_what_scikit_learn_predicts(names: list[str]) -> None:
    train = rows(names, 60, 1)
    unseen = [text for text, _ in rows(list(WORDS), 200, 2)] + ["", "nothing known", "THE, the; The!"]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
    model = LogisticRegression(max_iter=1_000, random_state=SEED)
    model.fit(vectorizer.fit_transform([text for text, _ in train]), [label for _, label in train])
    artefact = json.loads(json.dumps(fit_tfidf_logistic(train)))
    answer = predictor(artefact)
    assert [answer(text) for text in unseen] == list(model.predict(vectorizer.transform(unseen)))
    assert len({answer(text) for text in unseen}) == len(names)


def test_the_artefact_holds_the_numbers_of_the_fitted_model_and_how_it_was_fitted() -> None:
    train = rows(["sport", "money", "weather"], 60, 3)
    artefact = fit_tfidf_logistic(train)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b").fit([text for text, _ in train])
    assert artefact["terms"] == list(vectorizer.get_feature_names_out())
    np.testing.assert_array_equal(np.array(artefact["idf"]), vectorizer.idf_)
    assert np.array(artefact["coefficients"]).shape == (3, len(vectorizer.vocabulary_))
    assert artefact["seed"] == SEED
    assert artefact["converged"] is True
    assert fit_tfidf_logistic(train) == artefact


def test_one_label_in_training_is_the_answer_to_everything() -> None:
    artefact = fit_tfidf_logistic([("a", "yes"), ("b", " yes ")])
    assert predict(json.loads(json.dumps(artefact)), "whatever") == "yes"


def test_labels_that_differ_in_spaces_are_one() -> None:
    artefact = fit_tfidf_logistic([("good day", "very  good"), ("good time", "very good"), ("bad day", "bad")])
    assert artefact["labels"] == ["bad", "very good"]
    assert predict(artefact, "good time") == "very good"


def test_inputs_without_a_word_are_refused() -> None:
    with pytest.raises(ValueError, match="no input of the training rows has a word"):
        fit_tfidf_logistic([("!", "a"), ("?", "b")])
    with pytest.raises(ValueError, match="at least one training row"):
        fit_tfidf_logistic([])


def test_many_terms_are_bounded_to_the_most_frequent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.providers.engine.label_regression._MAX_COEFFICIENTS", 20)
    train = rows(["sport", "money"], 40, 4)
    artefact = fit_tfidf_logistic(train)
    terms = artefact["terms"]
    assert isinstance(terms, list)
    assert len(terms) == 10
    assert "the" in terms
