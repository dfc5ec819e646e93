"""A prompt with versions, labels and demonstrations, to photograph its pages with."""

from django.urls import reverse

from apps.accounts.models import Team, User
from apps.experiments import rows
from apps.experiments.engine.prompts import Demonstration, PromptSpec
from apps.experiments.models import DatasetVersion, Prompt, PromptVersion
from apps.experiments.services.prompts import prompt_label_set, prompt_version_create
from apps.providers.engine.messages import Message

NAME = "Addresses to fields"
FIRST = "Split the address into its fields. Answer with JSON alone."
SECOND = "Split the address into its fields.\nAnswer with one JSON object alone; leave out what is not there."


def look_prompts(version: DatasetVersion, owner: User) -> None:
    """Two versions of one prompt, the second with demonstrations."""
    shown = tuple(Demonstration(row.id, row.input, row.expected) for row in rows.train_rows(version)[:3])
    first = _version(version, owner, FIRST, (), "As the team wrote it")
    second = _version(version, owner, SECOND, shown, "Says what to do with missing fields; three demonstrations")
    prompt_label_set(actor=owner, prompt=first.prompt, name="production", version=first)
    prompt_label_set(actor=owner, prompt=first.prompt, name="staging", version=second)


def _version(
    version: DatasetVersion, owner: User, system: str, shown: tuple[Demonstration, ...], note: str
) -> PromptVersion:
    return prompt_version_create(
        actor=owner,
        team=version.dataset.team,
        name=NAME,
        spec=PromptSpec(
            messages=(Message("system", system), Message("user", "Address: {{ input }}")), demonstrations=shown
        ),
        demonstrations_from=version,
        note=note,
    )


def prompt_pages(team: Team) -> list[tuple[str, str]]:
    """The pages of that prompt; none for a team that has nothing."""
    prompt = Prompt.objects.filter(team=team, name=NAME).first()
    if prompt is None:
        return []
    names = ("prompt", "prompt_edit", "prompt_diff", "prompt_settings", "prompt_training")
    pages = [(name.replace("_", "-"), reverse(name, args=[team.slug, prompt.uid])) for name in names]
    return [*pages, ("prompt-version", reverse("prompt_version", args=[team.slug, prompt.uid, 1]))]
