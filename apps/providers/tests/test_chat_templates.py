"""Chat templates that strangers wrote: rendered as any other, and ended when they would not end."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from apps.providers.engine.chat import PLAIN_CHAT_TEMPLATE, ChatError, ChatTokenizer
from apps.providers.engine.chat_templates import ChatTemplate, TemplateProcess, TemplateRefused
from apps.providers.engine.messages import Message
from apps.providers.tests.tiny_tokenizer import CHATML, chatml_tokenizer

VALUES = {
    "messages": [{"role": "system", "content": "Hi"}, {"role": "user", "content": "12 Elm Street"}],
    "add_generation_prompt": True,
    "eos_token": "</s>",
}
# As Llama 3 and Qwen write theirs: variables, slices, methods and filters with arguments.
RICH = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{{ messages[0].content | trim }}\n"
    "{% else %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{{ '[' + m.role.upper() + '] ' ~ m.content.strip() | replace('\\t', ' ') }}\n{% endfor %}"
)
ENDLESS = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize("source", [CHATML, PLAIN_CHAT_TEMPLATE])
def test_a_plain_template_says_here_what_it_says_in_a_process(source: str) -> None:
    here = ChatTemplate(source)
    assert not here.confined
    assert here.render(VALUES) == TemplateProcess(source).render(VALUES)


def test_a_richer_template_is_rendered_in_a_process_that_ends_with_it() -> None:
    template = ChatTemplate(RICH)
    assert template.confined
    assert template.render(VALUES) == "Hi\n[USER] 12 Elm Street\n"
    process = template._process._running  # type: ignore[union-attr]
    assert process is not None
    assert process.poll() is None
    del template
    gc.collect()
    assert process.poll() is not None


@pytest.mark.parametrize(
    ("source", "bound"),
    [
        ("{{ 'a' * 10**10 }}", "memory"),
        ("{{ 'a'.center(10**10) }}", "memory"),
        ("{% for i in range(90000) %}{{ 'x' * 1000 }}{% endfor %}", "output"),
        ("{% for i in range(10**9) %}x{% endfor %}", ""),
        ("{{ ''.__class__.__mro__ }}", ""),
        ("{% for m in messages %}{% for n in messages %}{{ n.nothing.more }}{% endfor %}{% endfor %}", ""),
    ],
)
def test_a_template_that_asks_for_too_much_is_refused(source: str, bound: str) -> None:
    with pytest.raises(TemplateRefused) as refused:
        ChatTemplate(source).render(VALUES)
    assert refused.value.bound == bound


def test_what_is_constant_in_a_template_is_not_computed_where_it_is_read() -> None:
    """Jinja's compiler computes constants: of a number with a billion digits nothing may be computed here."""
    template = ChatTemplate("{{ 9 ** (9 ** 9) }}")
    with pytest.raises(TemplateRefused) as refused:
        template.render(VALUES)
    assert refused.value.bound in ("time", "memory")


def test_a_text_read_many_times_and_long_templates_are_not_rendered_here() -> None:
    assert ChatTemplate("{{ " + " ~ ".join(["messages[0].content"] * 80) + " }}").confined
    with pytest.raises(TemplateRefused, match="too long"):
        ChatTemplate("x" * 200_000)


def test_one_endless_conversation_is_ended_and_the_next_is_answered(tmp_path: Path) -> None:
    folder = chatml_tokenizer(tmp_path)
    trap = "{% if messages[0]['content'] == 'trap' %}" + ENDLESS + "{% endif %}" + CHATML
    (folder / "chat_template.jinja").write_text(trap, encoding="utf-8")
    tokenizer = ChatTokenizer.load(folder)
    before = tokenizer.render_prompt([Message("user", "Hello")])
    with pytest.raises(ChatError, match="was stopped: it computes for more than 1 s"):
        tokenizer.render_prompt([Message("user", "trap")])
    assert tokenizer.render_prompt([Message("user", "Hello")]) == before
