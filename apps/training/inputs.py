"""The rows of a plan as the trainer gets them, and the tokenizer that turns them into tokens."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.utils.translation import gettext as _

from apps.core.artifacts import local_folder
from apps.core.errors import ApplicationError, translated
from apps.experiments import rows
from apps.experiments.engine.prompts import PromptError, PromptSpec, render_messages
from apps.experiments.engine.rows import Example
from apps.experiments.selectors import prompt_spec
from apps.providers.engine.chat import ChatError, ChatTokenizer
from apps.providers.models import LanguageModel
from apps.training.engine.data import Row, choose_examples
from apps.training.engine.rowcheck import fitting
from apps.training.plan import Planned, room_of

DEFAULT_SEED = 0


@dataclass(frozen=True)
class PlannedRows:
    """`left_out`: ids of rows that are too long, where the plan says to leave such rows out."""

    train: list[Row]
    validation: list[Row]
    left_out: list[str]


def base_folder(model: LanguageModel) -> Path:
    """The folder that training opens: a base model's weights, or what an earlier training merged."""
    folder = local_folder(model.artifact)
    merged = folder / "merged"
    return merged if merged.is_dir() and not (folder / "hf").is_dir() else folder / "hf"


def tokenizer_of(model: LanguageModel) -> ChatTokenizer:
    """The model's tokenizer. ApplicationError when its folder has none that can be read."""
    try:
        return _tokenizer(str(base_folder(model)), model.revision)
    except ChatError as error:
        raise ApplicationError(translated(error), code="tokenizer", field="base_model") from error


@lru_cache(maxsize=4)
def _tokenizer(folder: str, _revision: str) -> ChatTokenizer:
    return ChatTokenizer.load(folder)


def row_of(example: Example, prompt: PromptSpec) -> Row:
    """One example as the trainer gets it. ApplicationError when the prompt cannot be rendered for it."""
    try:
        turns = render_messages(prompt, example.input, example.columns)
    except PromptError as error:
        raise ApplicationError(
            _("The prompt does not suit the dataset: %(error)s") % {"error": translated(error)},
            code="prompt_unsuitable",
            field="prompt_version",
        ) from error
    return Row(example.id, turns, example.expected, 1.0)


def planned_rows(plan: Planned) -> PlannedRows:
    """Training and validation rows of a plan, its limits applied. No test row is read."""
    prompt = prompt_spec(plan.prompt_version)
    train = [row_of(example, prompt) for example in rows.train_rows(plan.dataset_version)]
    validation = [row_of(example, prompt) for example in rows.validation_rows(plan.dataset_version)]
    left_out: list[str] = []
    if plan.limits.get("leave_out_long"):
        tokenizer = tokenizer_of(plan.base_model)
        most = int(plan.spec.get("max_length", room_of(plan.base_model)))
        train, long_train = fitting(train, tokenizer, max_length=most)
        validation, long_validation = fitting(validation, tokenizer, max_length=most)
        left_out = long_train + long_validation
    most_examples = int(plan.limits.get("max_examples", 0))
    if most_examples:
        seed = int(plan.spec.get("seed", DEFAULT_SEED))
        kept = choose_examples([row.id for row in train], most_examples, seed=seed)
        train = [row for row in train if row.id in kept]
    return PlannedRows(train, validation, left_out)
