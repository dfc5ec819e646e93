"""Rows of a run: reading, rendering to token ids, grouping by length, and padding into batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.core.engine.messages import Sentence, gettext_noop
from apps.providers.engine.chat import ChatError, ChatTokenizer
from apps.providers.engine.messages import Message
from apps.training.engine.errors import TrainingError

if TYPE_CHECKING:
    import torch

# Either kind of rows as a word, and one of its rows as the beginning of a sentence.
_WHAT = {"training": Sentence(gettext_noop("training")), "validation": Sentence(gettext_noop("validation"))}
_LABELS = {
    "training": gettext_noop('Training row "%(row)s"'),
    "validation": gettext_noop('Validation row "%(row)s"'),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One example as the host wrote it; ``weight`` multiplies its tokens in the loss."""

    id: str
    messages: tuple[Message, ...]
    answer: str
    weight: float


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row as token ids: prompt, answer, stop token. Positions from ``prompt_length`` on are trained."""

    id: str
    ids: tuple[int, ...]
    prompt_length: int
    weight: float

    @property
    def trained_tokens(self) -> int:
        return len(self.ids) - self.prompt_length


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded rows. Logits are wanted at flat positions ``positions`` of the (rows × length) grid.

    input_ids, attention_mask: int64 (rows, length). positions, targets, owners: int64 (trained tokens); owners gives
    the row of each target. weights: float32 (trained tokens).
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    owners: torch.Tensor
    tokens: int


def read_rows(path: Path, *, what: str) -> list[Row]:
    """Read a JSONL file of rows. Raises TrainingError naming file, line and field of the first problem."""
    if not path.is_file():
        raise TrainingError(
            "rows",
            gettext_noop("%(file)s does not exist, so there are no %(what)s rows."),
            file=path.name,
            what=_WHAT[what],
        )
    rows: list[Row] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = Sentence(gettext_noop("%(file)s line %(number)s"), file=path.name, number=number)
                rows.append(_row(line, where))
    if not rows:
        raise TrainingError(
            "rows", gettext_noop("%(file)s is empty: there are no %(what)s rows."), file=path.name, what=_WHAT[what]
        )
    return rows


def check_ids(train: Sequence[Row], validation: Sequence[Row], sample_ids: Sequence[str]) -> None:
    """Ids are unique, no row is in both files, and sample rows are validation rows. Raises TrainingError otherwise."""
    seen: dict[str, str] = {}
    for what, rows in (("training", train), ("validation", validation)):
        for row in rows:
            if seen.get(row.id) == what:
                raise TrainingError(
                    "rows", gettext_noop('Two %(what)s rows have the id "%(row)s".'), row.id, what=_WHAT[what]
                )
            if row.id in seen:
                template = gettext_noop(
                    'Row "%(row)s" is both a training and a validation row, so validation would measure memory.'
                )
                raise TrainingError("rows", template, row.id)
            seen[row.id] = what
    for sample_id in sample_ids:
        if seen.get(sample_id) != "validation":
            raise TrainingError(
                "spec", gettext_noop('Sample row "%(row)s" is not among the validation rows.'), sample_id
            )


def encode_rows(rows: Sequence[Row], tokenizer: ChatTokenizer, *, max_length: int, what: str) -> list[EncodedRow]:
    """Render every row. Raises TrainingError for the first row that could not be learned as it stands."""
    encoded = [_encode(row, tokenizer, max_length, what) for row in rows]
    if not any(row.weight > 0 and row.trained_tokens > 0 for row in encoded):
        raise TrainingError(
            "rows",
            gettext_noop("No token of any %(what)s row would be trained: every weight is zero."),
            what=_WHAT[what],
        )
    return encoded


def epoch_groups(
    lengths: Sequence[int], *, seed: int, epoch: int, rows_per_step: int, sort_window: int
) -> list[list[int]]:
    """Row numbers behind each optimizer step of one epoch: a pure function of its arguments.

    Rows are shuffled, sorted by length inside windows of about ``sort_window`` (a whole number of steps), cut into
    groups of ``rows_per_step``; then the groups are shuffled, so that lengths do not rise and fall with the windows.
    """
    import numpy as np

    generator = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = generator.permutation(len(lengths)).tolist()
    window = max(1, sort_window // rows_per_step) * rows_per_step
    groups: list[list[int]] = []
    for begin in range(0, len(order), window):
        inside = sorted(order[begin : begin + window], key=lambda index: (lengths[index], index))
        groups += [inside[i : i + rows_per_step] for i in range(0, len(inside), rows_per_step)]
    return [groups[i] for i in generator.permutation(len(groups)).tolist()]


def choose_examples(ids: Sequence[str], count: int, *, seed: int) -> frozenset[str]:
    """``count`` of the ids, chosen by their hashes with the seed, so that the order of the rows plays no part.

    A larger count keeps what a smaller one has chosen.
    """
    if count <= 0 or count >= len(ids):
        return frozenset(ids)
    order = sorted(ids, key=lambda row_id: hashlib.blake2b(f"{seed}:{row_id}".encode(), digest_size=16).digest())
    return frozenset(order[:count])


def split(rows: Sequence[EncodedRow], size: int) -> list[list[EncodedRow]]:
    return [list(rows[i : i + size]) for i in range(0, len(rows), size)]


def make_batch(rows: Sequence[EncodedRow], *, pad_id: int) -> Batch:
    """Pad rows on the right. The logit at position p − 1 predicts the token at p."""
    import torch

    length = max(len(row.ids) for row in rows)
    input_ids = torch.full((len(rows), length), pad_id, dtype=torch.int64)
    attention_mask = torch.zeros((len(rows), length), dtype=torch.int64)
    positions: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    owners: list[int] = []
    for number, row in enumerate(rows):
        input_ids[number, : len(row.ids)] = torch.tensor(row.ids, dtype=torch.int64)
        attention_mask[number, : len(row.ids)] = 1
        for position in range(row.prompt_length, len(row.ids)):
            positions.append(number * length + position - 1)
            targets.append(row.ids[position])
            weights.append(row.weight)
            owners.append(number)
    return Batch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        positions=torch.tensor(positions, dtype=torch.int64),
        targets=torch.tensor(targets, dtype=torch.int64),
        weights=torch.tensor(weights, dtype=torch.float32),
        owners=torch.tensor(owners, dtype=torch.int64),
        tokens=sum(len(row.ids) for row in rows),
    )


def padding_share(groups: Sequence[Sequence[int]], lengths: Sequence[int], batch_size: int) -> float:
    """Share of the grid that is padding when each group is computed in passes of ``batch_size`` rows."""
    cells = tokens = 0
    for group in groups:
        for begin in range(0, len(group), batch_size):
            part = [lengths[index] for index in group[begin : begin + batch_size]]
            cells += max(part) * len(part)
            tokens += sum(part)
    return 1 - tokens / cells


def _row(line: str, where: Sentence) -> Row:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise TrainingError(
            "rows", gettext_noop("%(where)s is not valid JSON: %(error)s"), where=where, error=error
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("id"), str):
        raise TrainingError("rows", gettext_noop('%(where)s should be an object with a text "id".'), where=where)
    row_id = content["id"]
    weight = content.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        template = gettext_noop('%(where)s: the weight of row "%(row)s" should be a number of 0 or more.')
        raise TrainingError("rows", template, row_id, where=where)
    if not isinstance(content.get("answer"), str):
        raise TrainingError("rows", gettext_noop('%(where)s: row "%(row)s" has no text "answer".'), row_id, where=where)
    return Row(row_id, _messages(content.get("messages"), where, row_id), content["answer"], float(weight))


def _messages(content: Any, where: Sentence, row_id: str) -> tuple[Message, ...]:
    try:
        messages = tuple(Message(role=item["role"], content=item["content"]) for item in content)
    except (TypeError, KeyError, ValueError) as error:
        template = gettext_noop(
            '%(where)s: the messages of row "%(row)s" should be a list of {"role", "content"}: %(error)s'
        )
        raise TrainingError("rows", template, row_id, where=where, error=error) from error
    if not messages or not all(isinstance(message.content, str) for message in messages):
        template = gettext_noop('%(where)s: row "%(row)s" needs at least one message with text content.')
        raise TrainingError("rows", template, row_id, where=where)
    return messages


def _encode(row: Row, tokenizer: ChatTokenizer, max_length: int, what: str) -> EncodedRow:
    label = Sentence(_LABELS[what], row=row.id)
    try:
        example = tokenizer.render_example(row.messages, row.answer)
    except ChatError as error:
        raise TrainingError(
            "rows", gettext_noop("%(label)s cannot be rendered: %(error)s"), row.id, label=label, error=error
        ) from error
    if not any(example.trained):
        raise TrainingError("rows", gettext_noop("%(label)s has no token to train on."), row.id, label=label)
    if example.ids[-1] != tokenizer.stop_id or not example.trained[-1]:
        template = gettext_noop(
            "%(label)s does not train the stop token %(token)s, so the model would never learn to stop."
        )
        raise TrainingError("rows", template, row.id, label=label, token=tokenizer.stop_token)
    if len(example.ids) > max_length:
        template = gettext_noop(
            "%(label)s has %(count)s tokens and max_length is %(most)s: its answer would be cut. "
            "Raise max_length or shorten the row."
        )
        raise TrainingError("rows", template, row.id, label=label, count=len(example.ids), most=max_length)
    return EncodedRow(row.id, example.ids, example.prompt_length, row.weight)
