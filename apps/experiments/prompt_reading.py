"""What the pages of prompts read: prompts with where they are used, rows to try them on, tokens as a model counts."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage, storages
from django.db.models import Count, Max, Prefetch, QuerySet

from apps.accounts.models import Team
from apps.core.access import fetch_for_user
from apps.core.artifacts import local_folder
from apps.experiments import rows, selectors
from apps.experiments.engine.rows import Example
from apps.experiments.models import Candidate, DatasetVersion, Prompt, PromptLabel, PromptVersion
from apps.providers.engine.chat import ChatError, ChatTokenizer
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel

MAX_FOUND = 10


def prompts(*, user: Any, team: Any, query: str = "") -> QuerySet[Prompt]:
    """Prompts of a team, last changed first, each with `newest`, `changed`, `experiment_count` and its labels."""
    found = Prompt.objects.for_user(user).filter(team=team)
    return _with_facts(found.filter(name__icontains=query) if query else found)


def prompts_in(*, team: Team) -> QuerySet[Any]:
    """The same for the command line, where nobody is signed in."""
    return _with_facts(Prompt.objects.filter(team=team))


def _with_facts(found: QuerySet[Any]) -> QuerySet[Any]:
    labels = PromptLabel.objects.select_related("version")
    return (
        found.annotate(
            newest=Max("versions__number"),
            changed=Max("versions__created_at"),
            experiment_count=Count("versions__candidates__experiment", distinct=True),
        )
        .prefetch_related(Prefetch("labels", queryset=labels))
        .order_by("-changed", "-id")
    )


def prompt(*, user: Any, team: Any, uid: Any, action: str = "view") -> Prompt:
    return fetch_for_user(Prompt, user, action, team=team, uid=uid)


def prompt_version(*, user: Any, prompt: Prompt, number: int) -> PromptVersion:
    return fetch_for_user(PromptVersion, user, prompt=prompt, number=number)


def newest_version(*, user: Any, prompt: Prompt) -> PromptVersion | None:
    found = PromptVersion.objects.for_user(user).filter(prompt=prompt).order_by("-number")
    return found.select_related("prompt", "created_by").first()


def labelled_version(*, user: Any, prompt: Prompt, label: str) -> PromptVersion:
    return fetch_for_user(PromptVersion, user, prompt=prompt, labels__name=label)


def versions_of(*, user: Any, prompt: Prompt) -> QuerySet[PromptVersion]:
    """Newest first, with author and labels."""
    found = PromptVersion.objects.for_user(user).filter(prompt=prompt)
    return found.select_related("created_by").prefetch_related("labels").order_by("-number")


def labels_of(*, user: Any, prompt: Prompt) -> QuerySet[PromptLabel]:
    return PromptLabel.objects.for_user(user).filter(prompt=prompt).select_related("version")


def candidates_with(*, user: Any, prompt: Prompt) -> QuerySet[Candidate]:
    """Candidates of any version, newest experiment first."""
    found = Candidate.objects.for_user(user).filter(prompt_version__prompt=prompt)
    return found.select_related("experiment", "prompt_version", "language_model").order_by("-experiment_id", "position")


# --- rows to try a prompt on


def dataset_versions(*, user: Any, team: Any) -> QuerySet[DatasetVersion]:
    """Every version of the team's datasets, newest dataset and version first."""
    return selectors.dataset_versions(user=user, team=team).order_by("-dataset_id", "-number")


def row_at(version: DatasetVersion, *, split: str, number: int) -> tuple[Example | None, int]:
    """Row `number` (from 1) of train or validation, and how many there are. Beyond the last it is the last one."""
    _none, count = rows.page(version, split=split, offset=0, limit=0)
    place = min(max(number, 1), count)
    found, _count = rows.page(version, split=split, offset=max(place - 1, 0), limit=1)
    return (found[0] if found else None), count


def drawn_ids(version: DatasetVersion, *, count: int, seed: int) -> list[str]:
    """Ids of `count` training rows; the same seed draws the same rows of the same version."""
    _none, total = rows.page(version, split="train", offset=0, limit=0)
    places = random.Random(seed).sample(range(total), min(count, total))  # noqa: S311 - a recorded draw, not a secret
    return [rows.page(version, split="train", offset=place, limit=1)[0][0].id for place in places]


def train_rows_by_id(version: DatasetVersion, ids: Iterable[str]) -> dict[str, Example]:
    """The training rows among `ids`; a row of another split is as unknown here as one that does not exist."""
    return {id_: row for id_, row in rows.rows_by_ids(version, list(ids)).items() if row.split == "train"}


def train_rows_with(version: DatasetVersion, text: str) -> list[Example]:
    """The first training rows whose input or answer holds `text`, whatever its case."""
    return rows.search(version, split="train", text=text, offset=0, limit=MAX_FOUND).rows


# --- tokens


def counting_models(*, user: Any, team: Any) -> list[LanguageModel]:
    """Local models of the team whose tokenizer lies on this machine."""
    models = LanguageModel.objects.for_user(user).filter(team=team, kind=LanguageModel.Kind.LOCAL)
    return [model for model in models.exclude(artifact="").order_by("id") if _tokenizer_folder(model) is not None]


@dataclass(frozen=True)
class Counted:
    """How long a conversation is: tokens as the model is given it, template included, and of each message alone."""

    whole: int
    each: tuple[int, ...]


def count_tokens(model: LanguageModel, messages: Sequence[Message]) -> Counted | None:
    """None when the model's folder has no tokenizer or its chat template refuses the conversation."""
    folder = _tokenizer_folder(model)
    if folder is None:
        return None
    try:
        tokenizer = _tokenizer(str(folder))
        whole = len(tokenizer.render_prompt(messages).ids)
    except ChatError:
        return None
    return Counted(whole, tuple(tokenizer.count(message.content) for message in messages))


def _tokenizer_folder(model: LanguageModel) -> Path | None:
    if not model.artifact or not isinstance(storages["artifacts"], FileSystemStorage):
        return None
    folders = (local_folder(model.artifact) / name for name in ("hf", "merged"))
    return next((folder for folder in folders if (folder / "tokenizer.json").is_file()), None)


@lru_cache(maxsize=2)
def _tokenizer(folder: str) -> ChatTokenizer:
    return ChatTokenizer.load(folder)
