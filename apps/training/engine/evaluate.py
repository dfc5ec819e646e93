"""Loss and accuracy on held-out rows, per token and per answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from apps.training.engine.data import EncodedRow, make_batch, split
from apps.training.engine.model import token_losses


@dataclass(frozen=True, slots=True)
class Measured:
    """``token_*``: over trained tokens, weighted. ``answer_loss``: mean summed nll of an answer (nats), unweighted.

    ``answer_accuracy``: share of answers whose every token, the stop token included, is the model's first choice given
    the right tokens before it; for greedy decoding that is an exact match.
    """

    rows: int
    token_loss: float
    token_accuracy: float
    answer_loss: float
    answer_accuracy: float


def measure(
    model: Any, rows: Sequence[EncodedRow], *, pad_id: int, batch_size: int, plain_head: bool,
    on_rows: Callable[[int, int], None],
) -> Measured:  # fmt: skip
    """Teacher-forced loss and accuracy of ``rows`` in float32, as the model will be served.

    Dropout is off, and no random number is drawn.
    """
    import torch

    was_training = model.training
    model.eval()
    weighted_nll = weighted_right = weight = answer_nll = 0.0
    right_answers = done = 0
    with torch.no_grad():
        for part in split(sorted(rows, key=lambda row: (len(row.ids), row.id)), batch_size):
            batch = make_batch(part, pad_id=pad_id)
            nll, right = token_losses(model, batch, plain_head=plain_head, precision="float32")
            weighted_nll += float((nll.double() * batch.weights).sum())
            weighted_right += float((right.double() * batch.weights).sum())
            weight += float(batch.weights.double().sum())
            answer_nll += float(nll.double().sum())
            wrong = torch.zeros(len(part), dtype=torch.int64).index_add_(0, batch.owners, (~right).long())
            right_answers += int((wrong == 0).sum())
            done += len(part)
            on_rows(done, len(rows))
    model.train(was_training)
    return Measured(
        rows=len(rows),
        token_loss=weighted_nll / weight if weight else 0.0,
        token_accuracy=weighted_right / weight if weight else 0.0,
        answer_loss=answer_nll / len(rows),
        answer_accuracy=right_answers / len(rows),
    )


def choose_rows(rows: Sequence[EncodedRow], count: int, *, seed: int) -> list[EncodedRow]:
    """A fixed sample of ``count`` rows (all for 0), the same at every call with the same seed."""
    import numpy as np

    if count == 0 or count >= len(rows):
        return list(rows)
    chosen = np.random.Generator(np.random.PCG64(seed)).choice(len(rows), size=count, replace=False)
    return [rows[i] for i in sorted(chosen.tolist())]
