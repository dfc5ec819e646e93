"""Attempts to leave the language of prompts, or to occupy a machine with a template: each refused or bounded."""

import time
from contextlib import suppress

import pytest

from apps.experiments.engine.prompts import (
    MAX_RENDERED_CHARACTERS,
    Demonstration,
    PromptError,
    PromptSpec,
    check_template,
    render_messages,
    variables_of,
)
from apps.providers.engine.messages import Message


def spec_of(text: str) -> PromptSpec:
    return PromptSpec(messages=(Message("user", text),))


def render(text: str, value: str = "1 Main St") -> str:
    return render_messages(spec_of(text), value)[-1].content


# Published ways out of Jinja templates, and variations on them.
ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__mro__'][1] }}",
    "{{ input|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ input|attr(['__cla', 'ss__']|join) }}",
    "{{ input.__init__.__globals__['__builtins__']['eval']('1') }}",
    "{{ config.items() }}",
    "{{ request.application.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].environ }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ dict(__class__=x)|join }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ '{0.__class__}'.format(input) }}",
    "{{ '{0.__class__}'|format(input) }}",
    "{{ '%s'|format_map(input) }}",
    "{{ input.format_map(input) }}",
    "{{ ().__class__.__bases__[0] }}",
    "{{ [].__class__ }}",
    "{{ {}.__class__ }}",
    "{{ (input,)|map(attribute='__class__')|list }}",
    "{{ [input]|selectattr('__class__') }}",
    "{{ [input]|groupby('__class__') }}",
    "{{ [input]|sort(attribute='__class__') }}",
    "{{ input|tojson }}",
    "{{ input|pprint }}",
    "{{ input|xmlattr }}",
    "{{ input|safe }}",
    "{% set x = input.__class__ %}",
    "{% set x %}{{ input }}{% endset %}",
    "{% with x = input.__class__ %}{{ x }}{% endwith %}",
    "{% filter upper %}a{% endfilter %}",
    "{% block a %}{{ self.a() }}{% endblock %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}",
    "{% call m() %}{% endcall %}",
    "{% for a in input %}{{ loop }}{% endfor %}",
    "{% for k, v in input.items() recursive %}{{ loop(v) }}{% endfor %}",
    "{% include input %}",
    "{% import input as x %}",
    "{% from input import x %}",
    "{% extends input %}",
    "{% do input.x() %}",
    "{% autoescape false %}{% endautoescape %}",
    "{% trans %}{% endtrans %}",
    "{% debug %}",
    "{{ input is callable }}",
    "{{ input is filter }}",
    "{{ -input }}",
    "{{ input // 2 }}",
    "{{ 2 ** 100000000 }}",
    "{{ input * 100000000 }}",
    "{{ input + input }}",
    "{{ input % 1 }}",
    "{{ input[0] }}",
    "{{ input[::2] }}",
    "{{ (input, input) }}",
    "{{ {'a': input} }}",
    "{{ environment.globals }}",
    "{{ context.vars }}",
    "{{ caller() }}",
    "{{ varargs[0] }}",
    "{{ input|map(attribute='__class__')|join }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '%*d' % (999999999, 1) }}",
    "{{ '{:>999999999}'.format(input) }}",
    "{{ 'a' * 10**9 }}",
    "{{ 9**9**9 }}",
    "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}",
    "{{ cycler('a').next() }}",
    "{{ lipsum(n=1000000) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% include ['a', 'b'] ignore missing %}",
    "{{ input.\uff3f\uff3fclass\uff3f\uff3f }}",  # full-width letters, which Python would fold
    "{{ in\u200bput }}",
    "{{ input|default(*input) }}",
    "{{ input|default(**input) }}",
    "{{ input|upper(1) }}",
    "{{ (lambda: 1)() }}",
    "{{ f'{input}' }}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_no_known_way_out_of_a_template_is_open(template: str) -> None:
    with pytest.raises(PromptError, match="prompt"):
        render(template)
    assert check_template(template, {"input"})


@pytest.mark.parametrize("name", ["environment", "context", "missing", "l_0_input", "__builtins__", "caller", "range"])
def test_nothing_of_the_engine_is_a_variable(name: str) -> None:
    with pytest.raises(PromptError, match=f"'{name}' is undefined"):
        render("{{ " + name + " }}")
    (problem,) = check_template("{{ " + name + " }}", {"input"})
    assert problem.name == name


LONG = 90_000
# (what is tried, template, input)
BOMBS = [
    ("150 nested conditions", "{% if input %}" * 150 + "x" + "{% endif %}" * 150, "a"),
    ("3000 nested conditions", "{% if input %}" * 3000 + "x" + "{% endif %}" * 3000, "a"),
    ("300 nested filters", "{{ input" + "|upper" * 300 + " }}", "a"),
    ("10,000 nested filters", "{{ input" + "|upper" * 10_000 + " }}", "a"),
    ("20,000 negations", "{{ " + "not " * 20_000 + "input }}", "a"),
    ("9,000 conjunctions", "{{ " + "input and " * 9_000 + "input }}", "a"),
    ("4,000 ternaries", "{{ " + "input if input else " * 4_000 + "input }}", "a"),
    ("4,000 branches", "{% if input == 'x' %}" + "{% elif input == 'y' %}" * 4_000 + "{% endif %}", "a"),
    ("20,000 brackets", "{{ " + "(" * 20_000 + "input" + ")" * 20_000 + " }}", "a"),
    ("a number of 90,000 digits", "{{ " + "9" * LONG + " }}", "a"),
    ("the same in base 16", "{{ 0x" + "f" * LONG + " }}", "a"),
    ("nested joins", "{{ " + "(" * 90 + "input" + " ~ input)" * 90 + " }}", "a"),
    ("9,000 joins of a long input", "{{ " + " ~ ".join(["input"] * 9_000) + " }}", "x" * 100_000),
    ("filters over a long input", "{% if input|title == 'x' %}{% endif %}" * 2_000, "x " * 100_000),
    ("trim by a long text", "{% if input|trim(input) %}{% endif %}", "b" * 100_000 + "a" * 100_000),
    ("trim by a long constant", "{{ input|trim('" + "b" * 65 + "') }}", "a"),
    ("a template of a million characters", "x" * 1_000_000, "a"),
    ("a million characters in an expression", "{{ '" + "x" * 1_000_000 + "' }}", "a"),
    ("open braces", "{" * 99_999, "a"),
    ("open expressions", "{{" * 49_999, "a"),
    ("open statements", "{%" * 49_999, "a"),
    ("open comments", "{#" * 49_999, "a"),
    ("raw without end", "{% raw %}" * 11_000, "a"),
    ("an escape without end", "{{ '" + "\\" * LONG, "a"),
    ("a statement of spaces", "{%" + " " * LONG, "a"),
    ("40,000 attributes", "{{ input" + ".a" * 40_000 + " }}", "a"),
    ("40,000 lists in lists", "{{ " + "[" * 40_000 + "]" * 40_000 + " }}", "a"),
    ("30,000 arguments", "{{ input|default(" + "1," * 30_000 + "1) }}", "a"),
    ("a name of 99,000 letters", "{{ " + "a" * 99_000 + " }}", "a"),
]


@pytest.mark.parametrize(("template", "value"), [bomb[1:] for bomb in BOMBS], ids=[bomb[0] for bomb in BOMBS])
def test_what_would_occupy_a_machine_is_refused_soon(template: str, value: str) -> None:
    started = time.process_time()
    with pytest.raises(PromptError):
        render(template, value)
    assert time.process_time() - started < 5


# (what is tried, template, input, most characters of the result)
BOUNDED = [
    ("6,000 expressions", "{{- input -}} \n" * 6_000, "abc", 18_000),
    ("24,000 constants", "{{ " + "'a' " * 24_000 + "}}", "a", 24_000),
    ("100,000 spaces", "{{ input }}" + " " * 99_000, "a", 99_001),
    ("long constants compared", "{% if 0x" + "f" * 40_000 + " == 0x" + "f" * 40_000 + " %}a{% endif %}", "a", 1),
    ("100 chains of 20 filters", ("{{ input" + "|upper" * 20 + " }}") * 100, "a", 100),
    ("letters that grow when upper", "{{ input|upper }}", "ΐ" * 60_000, MAX_RENDERED_CHARACTERS),
]


@pytest.mark.parametrize(
    ("template", "value", "most"), [case[1:] for case in BOUNDED], ids=[case[0] for case in BOUNDED]
)
def test_what_is_allowed_stays_within_its_bounds(template: str, value: str, most: int) -> None:
    started = time.process_time()
    assert 0 < len(render(template, value)) <= most
    assert time.process_time() - started < 5


@pytest.mark.parametrize("depth", range(1, 40))
def test_a_template_of_any_depth_is_rendered_or_refused_with_a_sentence(depth: int) -> None:
    for template in (
        "{% if input %}" * depth + "x" + "{% endif %}" * depth,
        "{{ input" + "|lower" * depth + " }}",
        "{{ " + "input if input else " * depth + "input }}",
        "{{ " + "(" * depth + "input" + " ~ input)" * depth + " }}",
        "{{ " + "(" * depth + "input" + " == input)" * depth + " }}",
    ):
        if depth <= 20:
            assert render(template, "x")
        elif depth > 32:
            with pytest.raises(PromptError, match="nested too deeply"):
                render(template, "x")
        else:  # constructs count differently; none of them may end in another error
            with suppress(PromptError):
                assert render(template, "x")


@pytest.mark.parametrize("template", ["{{ '\\x00' }}{{ input }}", "{{ '\\ud800' }}", "{{ input }}\x00"])
def test_what_no_database_holds_and_nothing_can_send_is_no_prompt(template: str) -> None:
    with pytest.raises(PromptError, match="a character that is no text"):
        render(template)


@pytest.mark.parametrize("template", ["{{ input|length > 'a' }}", "{{ 3|length }}"])
def test_numbers_and_texts_that_are_mixed_up_are_told_in_plain_words(template: str) -> None:
    with pytest.raises(PromptError, match="a number stands where a text is needed"):
        render(template)


def test_thousands_of_undefined_names_beside_many_columns_are_told_soon_and_not_all() -> None:
    known = ["input", *(f"a_column_called_number_{n}" for n in range(200))]
    template = "".join(f"{{{{ a_colum_caled_nummer_{n} }}}}" for n in range(3000))
    started = time.process_time()
    problems = check_template(template, known)
    assert time.process_time() - started < 5
    assert len(problems) == 20
    assert "Did you mean 'a_column_called_number_" in str(problems[0])


def test_no_sentence_repeats_a_long_name() -> None:
    for template in ("{{ " + "a" * 90_000 + " }}", "{{ input|" + "a" * 90_000 + " }}", "{% " + "a" * 90_000 + " %}"):
        (problem,) = check_template(template, {"input"})
        assert len(str(problem)) < 400


# --- variables


def test_kept_columns_are_variables_by_their_names() -> None:
    (said,) = render_messages(
        spec_of("{{ input }} in {{ country }} ({{ Postal_code }}, {{ _1st }})"),
        "Elm",
        {"country": "US", "Postal code": "123", "1st": "x", "input": "never"},
    )
    assert said.content == "Elm in US (123, x)"


def test_a_column_that_is_called_so_comes_before_one_that_is_renamed() -> None:
    for columns in ({"a b": "1", "a_b": "2"}, {"a_b": "2", "a b": "1"}):
        assert render_messages(spec_of("{{ a_b }}"), "", columns)[0].content == "2"


def test_a_demonstration_is_shown_with_its_own_columns() -> None:
    spec = PromptSpec(
        messages=(Message("user", "{{ country }}: {{ input }}"),),
        demonstrations=(Demonstration("1", "Rue", "r", {"country": "FR"}),),
    )
    said = [turn.content for turn in render_messages(spec, "Elm", {"country": "US"})]
    assert said == ["FR: Rue", "r", "US: Elm"]
    assert variables_of(spec) == {"country", "input"}


def test_a_prompt_keeps_the_hash_that_it_had_before_there_were_columns() -> None:
    spec = PromptSpec(
        messages=(Message("system", "Split."), Message("user", "Q: {{ input }}")),
        demonstrations=(Demonstration("1", "a", "b"),),
    )
    assert spec.digest() == "1037ceaf58c588e704a64fbc82257b4f837907106c917a7c944ff66a3b4bf2ba"
    assert PromptSpec(spec.messages, (Demonstration("1", "a", "b", {"c": "d"}),)).digest() != spec.digest()


# --- what the editor is told


def test_an_undefined_variable_is_named_with_its_place_and_the_nearest_known_one() -> None:
    problems = check_template(
        "{{ inptu }}\r\nof {{ input|upper }} {%- if  citi == 'x' -%} {{ zzzzz }}{% endif %}", ["input", "city"]
    )
    assert [(problem.line, problem.column, problem.name) for problem in problems] == [
        (1, 4, "inptu"),
        (2, 30, "citi"),
        (2, 49, "zzzzz"),
    ]
    assert "Did you mean 'input'?" in str(problems[0])
    assert "Did you mean 'city'?" in str(problems[1])
    assert "Defined here: city, input." in str(problems[2])


@pytest.mark.parametrize(
    ("template", "line", "column", "said"),
    [
        ("a\nb {{ input", 2, 3, "end of print statement"),
        ("{% if input %}\n\n", 1, 1, "endif"),
        ("x\n y {{ input|nope }}", 2, 4, "No filter named 'nope'"),
        ("a\n{{ input.x }}", 2, 1, "an attribute is not allowed"),
        ("a\n\n{% for x in input %}{% endfor %}", 3, 1, "a loop is not allowed"),
    ],
)
def test_what_cannot_be_read_says_its_line(template: str, line: int, column: int, said: str) -> None:
    (problem,) = check_template(template, {"input"})
    assert (problem.line, problem.column) == (line, column)
    assert said in str(problem)
    assert f"ine {line}" in str(problem)


def test_nothing_is_wrong_with_a_template_of_known_variables() -> None:
    assert (
        check_template("{{ input }} {{ city|default('x') }} {% if city == 'a' %}b{% endif %}", {"input", "city"}) == []
    )
