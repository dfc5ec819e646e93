"""The one rendering of chat: messages become token ids here for training, serving and evaluation alike.

Prompt and answer are tokenised separately and joined, because tokenised together some tokenizers merge the last token
of the prompt with the first of the answer, and the model would then be served a prompt that it never saw in training.
Only ``tokenizers`` and ``jinja2`` are needed, so that the inference process stays small.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.core.engine.messages import EngineError, Sentence, gettext_noop
from apps.providers.engine.chat_templates import (
    CPU_SECONDS,
    MAX_ADDED_CHARACTERS,
    MAX_TEMPLATE_CHARACTERS,
    MEMORY_BYTES,
    ChatTemplate,
    TemplateRefused,
)
from apps.providers.engine.messages import Message

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: For models that bring no chat template (GPT-2). Stored in every folder that is exported from such a model.
PLAIN_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'User:\\n' + message['content'] + '\\n\\n' }}"
    "{% else %}{{ 'Assistant:\\n' + message['content'] + eos_token + '\\n\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}"
)

#: Files that make a folder's tokenizer; what the serving folder needs to render exactly as the training folder did.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")

# Unicode noncharacters: never valid in interchanged text, so they can mark a stretch of a rendered template.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_PROBE_ANSWER = "probe"


class ChatError(EngineError, ValueError):
    """A conversation or a tokenizer folder that cannot be rendered; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """``ids`` of a prompt, ready for generation; the first ``prefix_length`` cover all messages but the last."""

    ids: tuple[int, ...]
    prefix_length: int


@dataclass(frozen=True, slots=True)
class RenderedExample:
    """``ids`` = prompt + answer + stop token; ``trained[i]``: position i is learned (the answer and the stop)."""

    ids: tuple[int, ...]
    prompt_length: int
    trained: tuple[bool, ...]


class ChatTokenizer:
    """A model folder's tokenizer and chat template. Immutable after ``load``; safe to share between threads."""

    def __init__(self, *, tokenizer: Tokenizer, special: dict[str, str], template: str, template_source: str) -> None:
        from tokenizers import Tokenizer as TokenizerClass

        self._tokenizer = tokenizer
        self._plain = TokenizerClass.from_str(tokenizer.to_str())
        self._plain.encode_special_tokens = True
        self.special = special
        self.template = template
        self.template_source = template_source
        self._compiled = _compile(template)
        added = tokenizer.get_added_tokens_decoder()
        self._special_ids = {id_ for id_, token in added.items() if token.special}
        tokens = sorted((token.content for token in added.values()), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, tokens)) or "(?!)")
        self.bos_id = self._id_of("bos_token")
        self.stop_id = self._find_stop_id()
        self.stop_token = str(tokenizer.id_to_token(self.stop_id))
        pad_id = self._id_of("pad_token")
        self.pad_id = self.stop_id if pad_id is None else pad_id

    @classmethod
    def load(cls, folder: str | Path) -> ChatTokenizer:
        """Read tokenizer.json, tokenizer_config.json and the chat template of a model folder.

        Raises ChatError when a file is missing, unreadable or names no end-of-sequence token.
        """
        from tokenizers import Tokenizer as TokenizerClass

        folder = Path(folder)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ChatError(
                gettext_noop("%(folder)s holds no tokenizer.json, so text cannot be turned into tokens."), folder=folder
            )
        config = _read_json(folder / "tokenizer_config.json")
        special = _special_tokens(config, _read_json(folder / "special_tokens_map.json"))
        template, source = _find_template(folder, config)
        tokenizer = TokenizerClass.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return cls(tokenizer=tokenizer, special=special, template=template, template_source=source)

    def save(self, source: str | Path, destination: str | Path) -> None:
        """Copy the tokenizer of folder ``source`` and the template in use to ``destination``, which must exist."""
        for name in TOKENIZER_FILES:
            if (Path(source) / name).is_file():
                shutil.copyfile(Path(source) / name, Path(destination) / name)
        (Path(destination) / "chat_template.jinja").write_text(self.template, encoding="utf-8")

    @property
    def vocabulary_size(self) -> int:
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def render_text(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """The conversation as the template writes it, for people to read."""
        return _strip_marks(self._render(messages, add_generation_prompt=add_generation_prompt))

    def render_prompt(self, messages: Sequence[Message]) -> RenderedPrompt:
        """Ids up to where the assistant begins to answer. Raises ChatError when the template refuses the messages.

        ``prefix_length`` is 0 unless the ids of all messages before the last one truly begin the ids of the whole.
        """
        if not messages:
            raise ChatError(gettext_noop("A prompt needs at least one message."))
        ids = self._encode_marked(self._render(messages, add_generation_prompt=True))
        if not ids:
            raise ChatError(gettext_noop("The model's chat template makes no text of this conversation."))
        self._check_bos(ids)
        return RenderedPrompt(ids=tuple(ids), prefix_length=self._prefix_length(messages, ids))

    def render_example(self, messages: Sequence[Message], answer: str) -> RenderedExample:
        """A training example: the prompt as served, the answer, the stop token. The mask comes from positions alone.

        Raises ChatError when the answer is empty or holds a control token, which would teach the model to stop early.
        """
        prompt = self.render_prompt(messages)
        if not answer:
            raise ChatError(gettext_noop("The answer is empty: there is nothing to learn from."))
        answer_ids = self._tokenizer.encode(answer, add_special_tokens=False).ids
        found = [self._tokenizer.id_to_token(i) for i in answer_ids if i in self._special_ids]
        if found:
            raise ChatError(
                gettext_noop("The answer contains the model's own control token %(token)s."), token=found[0]
            )
        ids = (*prompt.ids, *answer_ids, self.stop_id)
        length = len(prompt.ids)
        return RenderedExample(
            ids=ids, prompt_length=length, trained=tuple(position >= length for position in range(len(ids)))
        )

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids up to the first stop token; other control tokens are left out."""
        ids = list(ids)
        if self.stop_id in ids:
            ids = ids[: ids.index(self.stop_id)]
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary strings of ids (what CTranslate2 takes). An id outside the vocabulary is an empty string."""
        return [self._tokenizer.id_to_token(i) or "" for i in ids]

    def ids(self, tokens: Sequence[str]) -> list[int]:
        """The ids of vocabulary strings (what CTranslate2 returns); strings that are none of them are left out."""
        return [i for i in map(self._tokenizer.token_to_id, tokens) if i is not None]

    def count(self, text: str) -> int:
        """How many tokens plain text has, without a template around it."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        marked = [{"role": message.role, "content": self._mark(message.content)} for message in messages]
        values: dict[str, Any] = {"messages": marked, "tools": None, "documents": None}
        try:
            return self._compiled.render({**values, "add_generation_prompt": add_generation_prompt, **self.special})
        except TemplateRefused as refused:
            raise _refusal(refused) from refused

    def _mark(self, text: str) -> str:
        """Fence control tokens that a user typed, so that they are encoded as text and cannot end a turn."""
        return self._control.sub(lambda match: f"{_OPEN}{match.group()}{_CLOSE}", _strip_marks(text))

    def _encode_marked(self, rendered: str) -> list[int]:
        if _OPEN not in rendered and _CLOSE not in rendered:
            return list(self._tokenizer.encode(rendered, add_special_tokens=False).ids)
        ids: list[int] = []
        for index, piece in enumerate(re.split(f"{_OPEN}([^{_OPEN}{_CLOSE}]*){_CLOSE}", rendered)):
            encoder = self._plain if index % 2 else self._tokenizer
            ids += encoder.encode(_strip_marks(piece), add_special_tokens=False).ids
        return ids

    def _prefix_length(self, messages: Sequence[Message], ids: list[int]) -> int:
        if len(messages) < 2:
            return 0
        try:
            prefix = self._encode_marked(self._render(messages[:-1], add_generation_prompt=False))
        except ChatError:
            return 0
        return len(prefix) if len(prefix) < len(ids) and ids[: len(prefix)] == prefix else 0

    def _check_bos(self, ids: list[int]) -> None:
        # Some models (SmolLM2) use their BOS token to open every turn, so only a doubled first token is an error.
        if self.bos_id is not None and ids[:2] == [self.bos_id, self.bos_id]:
            raise ChatError(gettext_noop("The prompt begins with %(token)s twice."), token=self.special["bos_token"])

    def _id_of(self, name: str) -> int | None:
        token = self.special.get(name)
        return None if token is None else self._tokenizer.token_to_id(token)

    def _find_stop_id(self) -> int:
        """The control token that the template writes after an answer, else the end-of-sequence token.

        A base model's eos_token may differ from the end of turn in its template: what is trained must stop serving.
        """
        turns = [Message(role="user", content="question"), Message(role="assistant", content=_PROBE_ANSWER)]
        rendered = self._render(turns, add_generation_prompt=False)
        after = rendered[rendered.rfind(_PROBE_ANSWER) + len(_PROBE_ANSWER) :] if _PROBE_ANSWER in rendered else ""
        ids = self._tokenizer.encode(after.lstrip(), add_special_tokens=False).ids
        if ids and ids[0] in self._special_ids:
            return int(ids[0])
        eos_id = self._id_of("eos_token")
        if eos_id is None:
            raise ChatError(
                gettext_noop("The tokenizer names no end-of-sequence token, so the model could never learn to stop.")
            )
        return eos_id


def build_gpt2_tokenizer(*, vocab: str | Path, merges: str | Path, destination: str | Path) -> Path:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja for GPT-2 from its two published files.

    ``vocab`` is encoder.json (or vocab.json), ``merges`` is vocab.bpe (or merges.txt). Returns ``destination``.
    Raises ChatError when the files are not GPT-2's shape.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    end = "<|endoftext|>"
    vocabulary = json.loads(Path(vocab).read_text(encoding="utf-8"))
    lines = Path(merges).read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#version")]
    if end not in vocabulary or any(line.count(" ") != 1 for line in lines):
        raise ChatError(
            gettext_noop("%(vocab)s and %(merges)s are not a GPT-2 vocabulary and its merges."),
            vocab=vocab,
            merges=merges,
        )
    pairs = [(left, right) for left, right in (line.split(" ") for line in lines)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([AddedToken(end, normalized=False)])
    destination = Path(destination)
    destination.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(destination / "tokenizer.json"))
    config = {
        "tokenizer_class": "GPT2Tokenizer", "bos_token": end, "eos_token": end, "unk_token": end,
        "add_prefix_space": False, "model_max_length": 1024,
    }  # fmt: skip
    (destination / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (destination / "chat_template.jinja").write_text(PLAIN_CHAT_TEMPLATE, encoding="utf-8")
    return destination


def _compile(template: str) -> ChatTemplate:
    try:
        return ChatTemplate(template)
    except TemplateRefused as refused:
        if refused.bound:
            raise _refusal(refused) from refused
        raise ChatError(gettext_noop("The model's chat template cannot be read: %(error)s"), error=refused) from refused


_BOUNDS = {
    "length": Sentence(gettext_noop("it has more than %(most)s characters"), most=f"{MAX_TEMPLATE_CHARACTERS:,}"),
    "time": Sentence(gettext_noop("it computes for more than %(most)d s"), most=round(CPU_SECONDS)),
    "memory": Sentence(gettext_noop("it takes more than %(most)d MB of memory"), most=MEMORY_BYTES // 10**6),
    "output": Sentence(
        gettext_noop("it writes more than %(most)s characters around the conversation"),
        most=f"{MAX_ADDED_CHARACTERS:,}",
    ),
}


def _refusal(refused: TemplateRefused) -> ChatError:
    if refused.bound:
        return ChatError(
            gettext_noop("The model's chat template was stopped: %(why)s. Bring the model in with another template."),
            why=_BOUNDS[refused.bound],
        )
    return ChatError(gettext_noop("The model's chat template refuses this conversation: %(error)s"), error=refused)


def _strip_marks(text: str) -> str:
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ChatError(gettext_noop("%(path)s is not valid JSON: %(error)s"), path=path, error=error) from error
    if not isinstance(content, dict):
        raise ChatError(gettext_noop("%(path)s should hold a JSON object."), path=path)
    return content


def _special_tokens(*sources: dict[str, Any]) -> dict[str, str]:
    special: dict[str, str] = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        for source in sources:
            value = source.get(name)
            value = value.get("content") if isinstance(value, dict) else value
            if isinstance(value, str) and name not in special:
                special[name] = value
    return special


def _find_template(folder: Path, config: dict[str, Any]) -> tuple[str, str]:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8"), "chat_template.jinja"
    template = config.get("chat_template")
    if isinstance(template, str):
        return template, "tokenizer_config.json"
    return PLAIN_CHAT_TEMPLATE, "plain"
