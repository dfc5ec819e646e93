"""A prompt says what its author wrote and nothing else: it reaches neither Python, nor the machine, nor a test row."""

import time

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from apps.accounts.models import Team, User
from apps.core.errors import ApplicationError, NotAllowed
from apps.experiments import rows
from apps.experiments.engine.prompts import (
    MAX_RENDERED_CHARACTERS,
    Demonstration,
    PromptError,
    PromptSpec,
    render_messages,
    spec_from_json,
)
from apps.experiments.models import PromptVersion
from apps.experiments.services.prompts import prompt_version_create
from apps.experiments.tests.world import prompt_of, version_of
from apps.providers.engine.messages import Message


def spec_of(text: str, *demonstrations: Demonstration) -> PromptSpec:
    return PromptSpec(messages=(Message("user", text),), demonstrations=demonstrations)


def render(text: str, value: str = "1 Main St") -> str:
    return render_messages(spec_of(text), value)[-1].content


@examples(deadline=None)
@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_the_input_stands_in_the_prompt_exactly_as_it_was_typed(value: str) -> None:
    assert render("{{ input }}", value) == value
    assert render("before\n{{ input }}\n", value) == f"before\n{value}\n"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ input.__class__ }}", "an attribute"),
        ("{{ input.upper() }}", "a call"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "a call"),
        ("{{ input['__class__'] }}", "an item"),
        ("{{ input|attr('__class__') }}", "No filter named 'attr'"),
        ("{{ (input|attr)('__class__') }}", "a call"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "a call"),
        ("{{ self }}", "'self' is undefined"),
        ("{{ range(10) }}", "a call"),
        ("{{ lipsum(100) }}", "a call"),
        ("{% for a in input %}{% for b in input %}{% endfor %}{% endfor %}", "a loop"),
        ("{% set a = input %}", "Assign"),
        ("{% macro m() %}{{ m() }}{% endmacro %}", "Macro"),
        ("{% include '/etc/passwd' %}", "Include"),
        ("{% import 'os' as os %}", "Import"),
        ("{% extends 'x' %}", "Extends"),
        ("{{ 10 ** 10 ** 10 }}", "Pow"),
        ("{{ 'a' * 10 ** 10 }}", "Mul"),
        ("{{ '%1000000000d' % 1 }}", "Mod"),
        ("{{ 'a'|center(1000000000) }}", "No filter named 'center'"),
        ("{{ '{:>1000000000}'|format(1) }}", "No filter named 'format'"),
        ("{{ input|map('upper')|list }}", "No filter named"),
        ("{{ debug() }}", "a call"),
        ("{{ [input] }}", "List"),
    ],
)
def test_what_leads_out_of_a_template_or_builds_without_bound_is_refused(template: str, said: str) -> None:
    started = time.monotonic()
    with pytest.raises(PromptError, match="prompt") as caught:
        render(template)
    assert said in str(caught.value)
    assert time.monotonic() - started < 5


def test_the_line_of_what_is_refused_is_named() -> None:
    with pytest.raises(PromptError, match="Line 3"):
        render("one\ntwo\n{{ input.x }}")


def test_an_unknown_variable_is_named() -> None:
    with pytest.raises(PromptError, match="'adress' is undefined"):
        render("{{ adress }}")


@pytest.mark.parametrize(
    "template", ["{{ input", "{% if input %}", "{{ input|nothing }}", "{{ 'a' ~ }}", "(" * 9 + "{{ " + "(" * 5000]
)
def test_a_template_that_cannot_be_read_is_an_error_with_a_sentence(template: str) -> None:
    with pytest.raises(PromptError, match="The prompt"):
        render(template)


def test_a_mistake_inside_a_filter_is_an_error_with_a_sentence() -> None:
    with pytest.raises(PromptError, match="the filter trim takes at most 1 arguments"):
        render("{{ input|trim(1, 2, 3) }}")


def test_conditions_and_simple_filters_work() -> None:
    assert render("{% if input|length > 3 %}{{ input|upper|trim }}{% else %}short{% endif %}", " abc ") == "ABC"
    assert render("{{ 'long' if input else 'empty' }} {{ input ~ '!' }}", "x") == "long x!"


def test_a_prompt_longer_than_allowed_is_refused_while_it_is_built() -> None:
    with pytest.raises(PromptError, match="more than 200,000 characters"):
        render("{{ input }}" * 9000, "x" * 100_000)  # 900 MB if it were built first
    assert len(render("{{ input }}", "x" * MAX_RENDERED_CHARACTERS)) == MAX_RENDERED_CHARACTERS


def test_joined_inputs_are_refused_before_they_are_built() -> None:
    started = time.monotonic()
    with pytest.raises(PromptError, match="more than 200,000 characters"):
        render("{{ " + " ~ ".join(["input"] * 9000) + " }}", "x" * 100_000)
    assert time.monotonic() - started < 5


def test_half_of_a_surrogate_pair_is_no_prompt() -> None:
    with pytest.raises(PromptError, match="holds a character that is no text"):
        render("{{ '\\ud83d' }}")


def test_demonstrations_stand_before_the_question_in_its_own_words() -> None:
    spec = PromptSpec(
        messages=(Message("system", "Split."), Message("user", "Q: {{ input }}")),
        demonstrations=(Demonstration("1", "in {{ x }}", "out {{ y }}"),),
    )
    assert render_messages(spec, "now") == (
        Message("system", "Split."),
        Message("user", "Q: in {{ x }}"),
        Message("assistant", "out {{ y }}"),
        Message("user", "Q: now"),
    )


def test_a_spec_comes_back_from_json_as_it_was() -> None:
    spec = spec_of("{{ input }}", Demonstration("1", "a", "b"))
    assert spec_from_json(**spec.as_json()) == spec
    assert spec_from_json(**spec.as_json()).digest() == spec.digest()


@pytest.mark.parametrize("messages", [[], [{"role": "system", "content": "x"}], [{"role": "tool", "content": "x"}]])
def test_a_prompt_must_end_with_the_users_message(messages: list[dict[str, str]]) -> None:
    with pytest.raises(PromptError):
        spec_from_json(messages)


# --- versions


@pytest.mark.django_db
@pytest.mark.both_databases
def test_the_same_words_are_the_same_version_and_others_the_next(team: Team, bob: User) -> None:
    first = prompt_of(team, bob)
    assert prompt_of(team, bob) == first
    second = prompt_of(team, bob, "Again: {{ input }}")
    assert (first.number, second.number) == (1, 2)
    assert prompt_of(team, bob) == first


@pytest.mark.django_db
def test_a_prompt_that_cannot_be_rendered_is_not_stored(team: Team, bob: User) -> None:
    with pytest.raises(ApplicationError, match="'typo' is undefined"):
        prompt_of(team, bob, "{{ typo }}")
    assert not PromptVersion.objects.exists()


@pytest.mark.django_db
@pytest.mark.both_databases
def test_only_training_rows_may_be_shown_as_demonstrations(team: Team, bob: User) -> None:
    version = version_of(team, bob)
    train, validation = rows.train_rows(version)[0], rows.validation_rows(version)[0]
    hidden = next(row for row in rows._all(version) if row.split == "test")

    def with_demonstration(shown: Demonstration, source: object = version) -> PromptVersion:
        return prompt_version_create(
            actor=bob, team=team, name="Few", spec=spec_of("{{ input }}", shown), demonstrations_from=source
        )

    good = Demonstration(train.id, train.input, train.expected)
    assert with_demonstration(good).demonstrations[0]["id"] == train.id
    for row in (validation, hidden):
        for id_ in (row.id, train.id):  # also under the id of a training row
            with pytest.raises(ApplicationError, match="must be training rows"):
                with_demonstration(Demonstration(id_, row.input, row.expected))
    with pytest.raises(ApplicationError, match="must be training rows"):
        with_demonstration(Demonstration(train.id, train.input, hidden.expected))
    with pytest.raises(ApplicationError, match="must be training rows"):
        with_demonstration(good, None)


@pytest.mark.django_db
def test_a_viewer_writes_no_prompt(team: Team, vera: User) -> None:
    with pytest.raises(NotAllowed):
        prompt_of(team, vera)
