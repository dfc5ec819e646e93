"""How long the calls of a candidate are, from rows that anybody may see."""

from apps.billing.engine.token_estimate import CallSize
from apps.experiments import rows
from apps.experiments.engine.prompts import PromptError, PromptSpec, render_messages
from apps.experiments.models import DatasetVersion

# Rows that are looked at: their mean is near enough to that of all.
SAMPLE = 100


def call_size(version: DatasetVersion, prompt: PromptSpec | None, *, max_tokens: int) -> CallSize | None:
    """The mean over training rows; None where there is no row, or none that the prompt can be rendered with."""
    sample = rows.train_sample(version, limit=SAMPLE)[:SAMPLE]
    prompts, answers = [], []
    for row in sample:
        try:
            said = [row.input]
            if prompt is not None:
                said = [message.content for message in render_messages(prompt, row.input, row.columns)]
        except PromptError:
            continue
        prompts.append(sum(len(text.encode()) for text in said))
        answers.append(len(row.expected.encode()))
    if not prompts:
        return None
    return CallSize(sum(prompts) / len(prompts), sum(answers) / len(answers), max_tokens)
