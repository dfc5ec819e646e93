"""Prompts in the browser: written, tried on rows, saved, compared, labelled; and nothing typed is lost."""

from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from apps.accounts.models import Team, User
from apps.core.models import AuditEvent
from apps.core.tests import factories
from apps.experiments import rows
from apps.experiments.models import Prompt, PromptLabel, PromptVersion
from apps.experiments.services.prompts import prompt_label_set
from apps.experiments.tests.world import add_prompted, experiment_of, prompt_of, version_of

pytestmark = pytest.mark.django_db
NASTY = """</textarea><script>alert(1)</script> "quoted" 'single' {% if input %}{{ input }}{% endif %} {% now"""
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def editor(client: Client, team: Team, bob: User) -> Client:
    client.force_login(bob)
    return client


def url(team: Team, below: str = "") -> str:
    return f"/t/{team.slug}/prompts/{below}"


def form(**changes: Any) -> dict[str, Any]:
    values = {"name": "Fields", "role": ["system", "user"], "content": ["Split it.", "Q: {{ input }}"], "note": "first"}
    return {**values, **changes}


def save(client: Client, team: Team, below: str = "new/", **changes: Any) -> Any:
    return client.post(url(team, below), form(do="save", **changes))


def test_a_first_prompt_is_written_from_the_empty_list(editor: Client, team: Team, bob: User) -> None:
    page = editor.get(url(team)).content.decode()
    assert "No prompt yet" in page
    assert page.count(url(team, "new/")) == 1
    assert editor.get(url(team, "new/")).status_code == 200

    answer = save(editor, team, description="All of them")

    version = PromptVersion.objects.get()
    assert answer.url == url(team, f"{version.prompt.uid}/v/1/")
    assert [item["role"] for item in version.messages] == ["system", "user"]
    assert (version.note, version.created_by, version.prompt.description) == ("first", bob, "All of them")
    page = editor.get(answer.url).content.decode()
    assert "Split it." in page
    assert "Q: {{ input }}" in page


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"content": ["a", "{{ inptu }}"]}, "Did you mean &#x27;input&#x27;?"),
        ({"content": ["a\nb {{ input", "{{ input }}"]}, "line 2"),
        ({"content": ["", "{{ input }}"]}, "Message 1 is empty"),
        ({"role": ["user", "system"]}, "must be the user"),
        ({"name": " "}, "needs a name"),
        ({"name": "x" * 161}, "needs a name"),
        ({"note": "x" * 301}, "note has up to"),
        ({"content": ["a", "x" * 100_001]}, "100,000 are allowed"),
        ({"content": ["a", "\x00{{ input }}"]}, "no text"),
    ],
)
def test_what_cannot_be_saved_is_said_and_everything_typed_stays(
    editor: Client, team: Team, changes: dict[str, Any], said: str
) -> None:
    answer = save(editor, team, **changes)

    page = answer.content.decode()
    assert answer.status_code == 422
    assert said in page
    sent = form(**changes)
    for text in (sent["name"], sent["note"], *sent["content"]):
        assert escape(text.replace("\x00", "")) in page.replace("\x00", "")
    assert not Prompt.objects.exists()


def test_hostile_text_comes_back_as_text(editor: Client, team: Team) -> None:
    answer = save(editor, team, content=["\nfirst line empty", NASTY], name='"><b>', note="'\"{{ note }}", query="x")

    page = answer.content.decode()
    assert answer.status_code == 422
    assert "<script>alert" not in page
    assert (
        "&lt;/textarea&gt;&lt;script&gt;alert(1)&lt;/script&gt; &quot;quoted&quot; &#x27;single&#x27; {% if input %}"
        in page
    )
    assert "&amp;lt;" not in page
    assert ">\n\nfirst line empty</textarea>" in page
    assert 'value="&quot;&gt;&lt;b&gt;"' in page
    assert "{{ note }}" in page


def test_a_name_that_is_taken_is_refused(editor: Client, team: Team) -> None:
    save(editor, team)
    answer = save(editor, team, content=["Other.", "{{ input }}"])
    assert answer.status_code == 422
    assert "already a prompt called Fields" in answer.content.decode()
    assert PromptVersion.objects.count() == 1


def test_buttons_change_the_draft_and_save_nothing(editor: Client, team: Team, bob: User) -> None:
    version = version_of(team, bob)
    train = rows.train_rows(version)
    chosen = {"dataset": version.uid, "drawn": "4", "seed": "9"}

    def press(do: str, **more: Any) -> Any:
        return editor.post(url(team, "new/"), form(do=do, **chosen, **more)).context["at"]

    assert [item.role for item in press("message_add").messages] == ["system", "system", "user"]
    assert [item.content for item in press("message_remove:0").messages] == ["Q: {{ input }}"]
    assert len(press("message_remove:7").messages) == 2
    drawn = press("draw")
    assert len(drawn.demonstrations) == 4
    assert {shown.id for shown in drawn.demonstrations} <= {row.id for row in train}
    assert press("draw").draft.demonstrations == drawn.draft.demonstrations
    ids = list(drawn.draft.demonstrations)
    assert press(f"hide:{ids[0]}", demonstration=ids).draft.demonstrations == tuple(ids[1:])
    assert press("hide_all", demonstration=ids).draft.demonstrations == ()
    other = next(row.id for row in train if row.id not in ids)
    assert press(f"show:{other}", demonstration=ids).draft.demonstrations == (*ids, other)
    assert [row.id for row in press("search", query=train[5].input).found] == [train[5].id]
    assert not Prompt.objects.exists()


def test_the_preview_shows_a_real_row_and_what_is_wrong(editor: Client, team: Team, bob: User) -> None:
    version = version_of(team, bob)
    validation = rows.validation_rows(version)

    def part(**changes: Any) -> str:
        answer = editor.post(url(team, "new/?part=preview"), form(**changes), **HTMX)
        assert answer.status_code == 200
        return str(answer.content.decode())

    page = part(dataset=version.uid, split="validation", row="2")
    assert "<html" not in page
    assert f"Q: {validation[1].input}" in page
    assert "No tokenizer of a local model lies here" in page
    assert f"Row {len(validation)} of {len(validation)}" in part(dataset=version.uid, split="validation", row="9999")
    assert "&#x27;adress&#x27; is undefined" in part(content=["a", "{{ adress }}"])
    assert "does not show the input" in part(content=["a", "b"])
    hidden = [row for row in rows._all(version) if row.split == "test"]
    assert not any(
        row.input in part(dataset=version.uid, split="test", row=str(n)) for n, row in enumerate(hidden[:3], 1)
    )


def test_the_same_words_are_no_new_version_and_others_are_compared(editor: Client, team: Team) -> None:
    save(editor, team)
    prompt = Prompt.objects.get()
    again = save(editor, team, f"{prompt.uid}/edit/", base="1")
    assert again.url == url(team, f"{prompt.uid}/v/1/")
    # A browser sends line ends of its own kind; they are no change.
    save(editor, team, f"{prompt.uid}/edit/", base="1", content=["Split it.\r\nWell.", "Q: {{ input }}"])
    save(editor, team, f"{prompt.uid}/edit/", base="1", content=["Split it.\nWell.", "Q: {{ input }}"])
    assert [item.number for item in prompt.versions.order_by("number")] == [1, 2]

    page = editor.get(url(team, f"{prompt.uid}/diff/?from=1&to=2")).content.decode()
    assert "<ins>\nWell.</ins>" in page
    assert "Unchanged" in page
    assert editor.get(url(team, f"{prompt.uid}/diff/?from=1&to=99")).status_code == 404
    assert "not the newest version" in editor.get(url(team, f"{prompt.uid}/v/1/")).content.decode()


def test_demonstrations_are_carried_to_the_next_version_without_their_dataset(
    editor: Client, team: Team, bob: User
) -> None:
    version = version_of(team, bob)
    ids = [row.id for row in rows.train_rows(version)[:2]]
    save(editor, team, dataset=version.uid, demonstration=ids)
    prompt = Prompt.objects.get()
    page = editor.get(url(team, f"{prompt.uid}/edit/"))
    assert [shown.id for shown in page.context["at"].demonstrations] == ids

    save(editor, team, f"{prompt.uid}/edit/", base="1", content=["New.", "{{ input }}"], demonstration=ids)

    second = prompt.versions.get(number=2)
    assert [shown["id"] for shown in second.demonstrations] == ids


def test_the_editor_begins_beside_a_dataset_that_goes_with_the_prompt(editor: Client, team: Team, bob: User) -> None:
    assert editor.get(url(team, "new/")).context["at"].version is None
    first = version_of(team, bob)
    ids = [row.id for row in rows.train_rows(first)[:2]]
    save(editor, team, dataset=first.uid, demonstration=ids)
    second = version_of(team, bob, name="Other", count=20, seed=3)
    assert editor.get(url(team, "new/")).context["at"].version == second
    page = editor.get(url(team, f"{Prompt.objects.get().uid}/edit/"))
    assert page.context["at"].version in (first, second)
    assert set(ids) <= {row.id for row in rows.train_rows(page.context["at"].version)}
    assert page.context["preview"].example in rows.train_rows(page.context["at"].version)


def test_demonstrations_of_another_dataset_version_are_named_and_not_saved(
    editor: Client, team: Team, bob: User
) -> None:
    old, new = version_of(team, bob), version_of(team, bob, name="Other", count=20, seed=3)
    newer = {row.id for row in rows.train_rows(new)}
    ids = [row.id for row in rows.train_rows(old) if row.id not in newer][:1]
    answer = save(editor, team, dataset=new.uid, dataset_before=old.uid, demonstration=ids)
    assert answer.status_code == 422
    assert "no training row" in answer.content.decode()
    assert not Prompt.objects.exists()


def test_labels_move_and_go(editor: Client, team: Team) -> None:
    save(editor, team)
    prompt = Prompt.objects.get()
    save(editor, team, f"{prompt.uid}/edit/", base="1", content=["New.", "{{ input }}"])
    labels = url(team, f"{prompt.uid}/labels/")

    for number in (1, 2):
        editor.post(labels, {"name": "production", "version": number})
        assert PromptLabel.objects.get().version.number == number
        page = editor.get(url(team, f"{prompt.uid}/?label=production"))
        assert page.context["version"].number == number
    for name in ("", "No Spaces", "latest", "a" * 41, "<b>"):
        kept = editor.post(labels, {"name": name, "version": "1"}, follow=True).content.decode()
        assert f'name="name" value="{escape(name)}"' in kept
        assert '<option value="1" selected>' in kept
    assert PromptLabel.objects.get().name == "production"
    assert editor.post(labels, {"name": "x", "version": "9"}).status_code == 404
    editor.post(f"{labels}remove/", {"name": "production"})
    assert not PromptLabel.objects.exists()
    assert editor.post(f"{labels}remove/", {"name": "production"}).status_code == 404
    assert editor.get(url(team, f"{prompt.uid}/?label=production")).status_code == 404
    verbs = list(AuditEvent.objects.filter(verb__startswith="prompt_label").values_list("verb", flat=True))
    assert sorted(verbs) == ["prompt_label.removed", "prompt_label.set", "prompt_label.set"]


def test_a_prompt_is_renamed_described_and_deleted(editor: Client, team: Team) -> None:
    save(editor, team)
    prompt = Prompt.objects.get()
    settings = url(team, f"{prompt.uid}/settings/")
    answer = editor.post(settings, {"name": " ", "description": "kept text"})
    assert answer.status_code == 422
    assert "kept text" in answer.content.decode()
    editor.post(settings, {"name": "Renamed", "description": "Why"})
    prompt.refresh_from_db()
    assert (prompt.name, prompt.description) == ("Renamed", "Why")
    assert editor.post(url(team, f"{prompt.uid}/delete/")).url == url(team)
    assert not Prompt.objects.exists()
    verbs = set(AuditEvent.objects.filter(verb__startswith="prompt.").values_list("verb", flat=True))
    assert verbs == {"prompt.created", "prompt.renamed", "prompt.described", "prompt.deleted"}


def test_a_prompt_in_use_is_kept_and_what_depends_on_it_is_named(editor: Client, team: Team, bob: User) -> None:
    version = version_of(team, bob)
    candidate = add_prompted(experiment_of(version, bob), bob)
    prompt = candidate.prompt_version.prompt
    prompt_label_set(actor=bob, prompt=prompt, name="production", version=candidate.prompt_version)

    answer = editor.post(url(team, f"{prompt.uid}/delete/"), follow=True)

    assert "candidate Prompted" in answer.content.decode()
    assert PromptLabel.objects.exists()
    page = editor.get(url(team, f"{prompt.uid}/")).content.decode()
    assert "Which one" in page


def test_a_prompt_of_a_training_run_is_kept(editor: Client, team: Team, bob: User) -> None:
    run = factories.TrainingRunFactory.create(team=team, created_by=bob, prompt_version=prompt_of(team, bob))
    editor.post(url(team, f"{run.prompt_version.prompt.uid}/delete/"))
    assert Prompt.objects.filter(pk=run.prompt_version.prompt_id).exists()


# --- who may do what


def test_a_viewer_reads_all_and_changes_nothing(client: Client, team: Team, bob: User, vera: User) -> None:
    prompt = prompt_of(team, bob).prompt
    client.force_login(vera)
    for below in ("", f"{prompt.uid}/", f"{prompt.uid}/v/1/", f"{prompt.uid}/diff/"):
        page = client.get(url(team, below))
        assert page.status_code == 200
        for action in ("New prompt", "Edit as a new version", "Set or move label", "Rename or delete"):
            assert action not in page.content.decode()
    for below in ("new/", f"{prompt.uid}/edit/", f"{prompt.uid}/settings/"):
        assert client.get(url(team, below)).status_code == 403
        assert save(client, team, below).status_code == 403
    assert client.post(url(team, f"{prompt.uid}/labels/"), {"name": "a", "version": "1"}).status_code == 403
    assert client.post(url(team, f"{prompt.uid}/delete/")).status_code == 403
    assert PromptVersion.objects.count() == 1


def test_another_teams_ids_are_not_found_in_any_form(
    editor: Client, team: Team, other_team: Team, bob: User, charlie: User
) -> None:
    own, theirs = version_of(team, bob), version_of(other_team, charlie, count=120, seed=11)
    prompt, their_prompt = prompt_of(team, bob).prompt, prompt_of(other_team, charlie).prompt
    their_model = factories.LanguageModelFactory.create(team=other_team)
    known = {row.id for row in rows._all(own)}
    foreign = next(row.id for row in rows.train_rows(theirs) if row.id not in known)
    hidden = next(row.id for row in rows._all(own) if row.split == "test")
    for changes in (
        {"dataset": theirs.uid},
        {"dataset_before": theirs.uid},
        {"dataset": "nothing"},
        {"dataset": own.uid, "demonstration": [foreign]},
        {"dataset": own.uid, "demonstration": [hidden]},
        {"demonstration": [foreign]},
        {"do": f"show:{foreign}", "dataset": own.uid},
        {"do": f"show:{hidden}", "dataset": own.uid},
        {"model": their_model.uid},
    ):
        for below in ("new/", f"{prompt.uid}/edit/", "new/?part=preview"):
            answer = editor.post(url(team, below), form(**{"do": "save", **changes}), **HTMX)
            assert answer.status_code == 404, (below, changes)
    for below in ("", "v/1/", "edit/", "diff/", "settings/"):
        assert editor.get(url(team, f"{their_prompt.uid}/{below}")).status_code == 404
    for below in ("labels/", "labels/remove/", "delete/", "edit/", "settings/"):
        data = form(do="save", version="1", name="production")
        assert editor.post(url(team, f"{their_prompt.uid}/{below}"), data).status_code == 404
    assert PromptVersion.objects.count() == 2
