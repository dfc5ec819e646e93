"""The free baselines: what they answer, their tie rules, and that they survive being stored as JSON."""

import json

import pytest

from apps.providers.engine.baselines import (
    baselines_for,
    first_sentence,
    fit,
    fit_most_frequent,
    fit_nearest,
    fit_token_lookup,
    predict,
    predictor,
)

FIELDS = ["recipient", "number", "street", "unit", "box", "city", "state", "zip", "country"]
ROWS = [
    ("12 Oak St, Rome, NY 10001", '{"number":"12","street":"Oak St","city":"Rome","state":"NY","zip":"10001"}'),
    ("7 Elm St, Rome, NY 10002", '{"number":"7","street":"Elm St","city":"Rome","state":"NY","zip":"10002"}'),
    ("99 Oak Ave, Troy, NY 10003", '{"number":"99","street":"Oak Ave","city":"Troy","state":"NY","zip":"10003"}'),
    ("attn 8 Elm St", '{"number":"8","street":"Elm St"}'),
]


def test_the_most_frequent_answer_is_given_whatever_the_input() -> None:
    artefact = fit_most_frequent([("a", "1"), ("b", "2"), ("c", "2")])
    assert predict(artefact, "anything") == "2"


def test_among_equally_frequent_answers_the_first_wins() -> None:
    assert predict(fit_most_frequent([("a", "1"), ("b", "2")]), "b") == "1"


def test_the_nearest_row_is_found_by_its_trigrams() -> None:
    assert predict(fit_nearest(ROWS), "98 oak avenue  TROY") == ROWS[2][1]


def test_among_equally_near_rows_the_first_wins() -> None:
    assert predict(fit_nearest([("abc", "first"), ("abc", "second")]), "abc") == "first"
    assert predict(fit_nearest([("abc", "first"), ("def", "second")]), "xyz") == "first"


def test_the_lookup_sends_words_to_their_usual_field_and_digits_by_shape() -> None:
    answer = predict(fit_token_lookup(ROWS, FIELDS), "55 Elm Ave, Troy, NY 20409")
    assert answer == '{"number":"55","street":"Elm Ave","city":"Troy","state":"NY","zip":"20409"}'


def test_the_lookup_leaves_out_what_training_left_out_and_guesses_the_usual_field() -> None:
    assert predict(fit_token_lookup(ROWS, FIELDS), "attn 5 Maple St") == '{"number":"5","street":"Maple St"}'


def test_among_equally_frequent_fields_the_first_of_the_order_wins() -> None:
    rows = [("Troy", '{"city":"Troy"}'), ("Troy", '{"street":"Troy"}')]
    assert predict(fit_token_lookup(rows, FIELDS), "Troy") == '{"street":"Troy"}'


def test_the_answer_keeps_the_key_order_and_is_compact_json() -> None:
    answer = predict(fit_token_lookup(ROWS, FIELDS), "10001, Rome: 3 Oak Caf\u00e9")
    assert list(json.loads(answer)) == [field for field in FIELDS if field in json.loads(answer)]
    assert ": " not in answer.replace("Rome: ", "")
    assert "Caf\u00e9" in answer


def test_an_empty_input_gets_an_empty_answer_from_the_lookup() -> None:
    assert predict(fit_token_lookup(ROWS, FIELDS), "  ") == "{}"


@pytest.mark.parametrize(
    "artefact", [fit_most_frequent(ROWS), fit_nearest(ROWS), fit_token_lookup(ROWS, FIELDS)], ids=lambda a: a["kind"]
)
def test_a_stored_artefact_answers_as_the_fitted_one(artefact: dict) -> None:
    stored = predictor(json.loads(json.dumps(artefact)))
    fitted = predictor(artefact)
    for text in ("12 Oak St", "", "PO Box 3, Troy"):
        assert stored(text) == fitted(text)


@pytest.mark.parametrize("fit", [fit_most_frequent, fit_nearest, lambda rows: fit_token_lookup(rows, FIELDS)])
def test_no_rows_are_refused(fit) -> None:  # noqa: ANN001 - one of three functions of different signatures
    with pytest.raises(ValueError, match="at least one"):
        fit([])


def test_an_answer_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="planet"):
        fit_token_lookup([("Earth", '{"planet":"Earth"}')], FIELDS)


def test_something_that_is_no_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match="not a baseline"):
        predictor({"kind": "oracle", "version": 1})


@pytest.mark.parametrize("format_", ["json", "label", "text", "number"])
def test_every_baseline_of_a_format_can_be_fitted_stored_and_asked(format_: str) -> None:
    answer = {"format": format_, "fields": FIELDS}
    methods = baselines_for(answer)
    assert methods[:2] == ("most_frequent", "nearest")
    for method in methods:
        artefact = json.loads(json.dumps(fit(method, ROWS, answer)))
        assert artefact["kind"] == method
        assert predict(artefact, ROWS[1][0]) != ""


def test_each_format_has_its_own_third_baseline_and_no_other() -> None:
    thirds = {format_: baselines_for({"format": format_})[2:] for format_ in ("json", "label", "text", "number")}
    assert thirds == {
        "json": ("token_lookup",),
        "label": ("tfidf_logistic",),
        "text": ("first_sentence",),
        "number": (),
    }
    # An answer that says nothing is older than the formats.
    assert baselines_for({}) == baselines_for({"format": "json"})
    with pytest.raises(ValueError, match="picture"):
        baselines_for({"format": "picture"})
    with pytest.raises(ValueError, match="token_lookup"):
        fit("token_lookup", ROWS, {"format": "label", "labels": ["a", "b"]})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("The train is late. It snows.", "The train is late."),
        ("  Is it?! Yes.", "Is it?!"),
        ("Version 2.5 is out\nSecond line.", "Version 2.5 is out"),
        ("\n\n A line without an end", "A line without an end"),
        ("\u96e8\u304c\u964d\u308b\u3002\u5bd2\u3044\u3002", "\u96e8\u304c\u964d\u308b\u3002"),
        ("Wait\u2026 what?", "Wait\u2026"),
        ("One.", "One."),
        ("   ", ""),
    ],
)
def test_the_first_sentence_ends_at_a_mark_before_a_space_or_with_its_line(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence
