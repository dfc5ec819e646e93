"""The playground: one form whose every button sends all of it, so that no text is lost."""

from dataclasses import replace
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.core.access import require
from apps.core.errors import ApplicationError, NotFound
from apps.core.pages import render_page
from apps.core.refusals import refuse_on_page
from apps.experiments.models import PromptVersion
from apps.experiments.selectors import experiment
from apps.workspace.models import PlaygroundAnswer, PlaygroundRun
from apps.workspace.playground import asking
from apps.workspace.playground.checks import require_sendable
from apps.workspace.playground.desk import CandidateDesk, Desk, can_be_asked
from apps.workspace.playground.draft import LETTERS, CandidateDraft, Draft, changed, draft_from, draft_of, setup_of
from apps.workspace.playground.lookup import desk, with_example, with_prompt
from apps.workspace.playground.showing import shown
from apps.workspace.selectors import money_facts
from apps.workspace.selectors.playground import playground_answer, playground_run
from apps.workspace.services.playground import (
    playground_candidate_add,
    playground_prompt_save,
    playground_run_create,
    playground_vote,
    playground_vote_withdraw,
)

PARTS = ("body", "facts", "compare")


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def playground(request: HttpRequest, team: Team) -> HttpResponse:
    """A new one: two candidates, with the models and the prompt that the address names."""
    if request.method == "POST":
        require(team, request.user, "edit")
        return _pressed(request, team)
    first = CandidateDraft(model=request.GET.get("model", ""), prompt=request.GET.get("prompt", ""))
    draft = Draft(candidates=(first, CandidateDraft(prompt=first.prompt)))
    at = desk(user=request.user, team=team, draft=draft)
    if first.prompt:
        draft = with_prompt(with_prompt(at.draft, 0, at.prompts), 1, at.prompts)
        at = desk(user=request.user, team=team, draft=draft)
    return _page(request, team, at)


@require_safe
@team_page("view")
def playground_run_page(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """What somebody sent or shared, with its answers. Opening it sends nothing."""
    run = playground_run(user=request.user, team=team, uid=uid)
    draft = replace(draft_of(run), left=request.GET.get("left", ""), right=request.GET.get("right", ""))
    return _page(request, team, desk(user=request.user, team=team, draft=draft))


@require_POST
@team_page("edit")
def playground_answer_stream(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    """One candidate's answer as server-sent events. What was answered before is shown again and costs nothing."""
    run = playground_run(user=request.user, team=team, uid=uid, action="edit")
    if not 1 <= number <= len(run.setup["candidates"]):
        raise NotFound(_("This run has no such candidate."))
    known = playground_answer(user=request.user, run=run, number=number)
    if known is not None:
        content: Any = asking.event({"html": _answer_html(team, known)}, "answer")
        response: Any = HttpResponse(content, content_type="text/event-stream; charset=utf-8")
    else:
        response = StreamingHttpResponse(
            asking.answer_events(
                actor=request.user,
                run=run,
                number=number,
                language=get_language(),
                render=lambda answer: _answer_html(team, answer),
            ),
            content_type="text/event-stream; charset=utf-8",
        )
    response["Cache-Control"], response["X-Accel-Buffering"] = "no-store, no-transform", "no"
    # Decorators of pages know whole answers; one in parts passes them as it is.
    return cast(HttpResponse, response)


@require_POST
@team_page("view")
def playground_vote_press(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Say which answer of a run is better, or no more. It spends nothing: whoever sees a link may say it."""
    run = playground_run(user=request.user, team=team, uid=uid)
    try:
        if request.POST.get("better") == "none":
            playground_vote_withdraw(actor=request.user, run=run)
        else:
            playground_vote(actor=request.user, run=run, number=_number(request.POST.get("better", "")))
    except ApplicationError as error:
        refuse_on_page(request, error)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("playground_run", team=team.slug, uid=run.uid)
    draft = draft_from(request.POST) if may(user=request.user, team=team, action="edit") else draft_of(run)
    return _page(request, team, desk(user=request.user, team=team, draft=draft))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 3 else 0


def _answer_html(team: Team, answer: PlaygroundAnswer) -> str:
    """The answer's part of the page, and what the team has spent and holds now."""
    place = {"answer": answer, "n": answer.number - 1, "letter": LETTERS[answer.number - 1]}
    return render_to_string("workspace/_playground_answered.html", {"team": team, "money": money_facts(team), **place})


# --- what the buttons do


class _Said:
    """What is said above the form once a button was pressed, and the run whose answers are to come in."""

    def __init__(self) -> None:
        self.context: dict[str, Any] = {}
        self.run: PlaygroundRun | None = None
        self.send = False


def _pressed(request: HttpRequest, team: Team) -> HttpResponse:
    what, _colon, which = request.POST.get("do", "").partition(":")
    draft = changed(draft_from(request.POST), what, which)
    at = desk(user=request.user, team=team, draft=draft)
    said = _Said()
    try:
        at = _done(request, team, at, what, which, said)
    except ApplicationError as error:
        if error.status in (403, 404):
            raise
        said.context["error"] = error.message
    if said.run is not None and not request.htmx:  # type: ignore[attr-defined]
        if said.send:
            asking.answer_all(actor=request.user, run=said.run)
        return redirect("playground_run", team=team.slug, uid=said.run.uid)
    return _page(request, team, at, said)


def _done(request: HttpRequest, team: Team, at: Desk, what: str, which: str, said: _Said) -> Desk:
    """The form after what a button did to it, or `at` as it was."""
    if what == "example":
        draft = replace(at.draft, row=at.draft.row + (which == "next"))
        return desk(user=request.user, team=team, draft=with_example(draft, at.version))
    if what == "prompt" and which.isdecimal():
        return desk(user=request.user, team=team, draft=with_prompt(at.draft, int(which), at.prompts))
    if what in ("send", "link"):
        require_sendable(at)
        values = [each.draft.model for each in at.candidates]
        said.run = playground_run_create(actor=request.user, team=team, models=values, setup=setup_of(at.sent, values))
        said.send = what == "send"
        # What was only named may be there now; answers of before are not this run's.
        draft = replace(at.draft, candidates=draft_of(said.run).candidates) if said.send else at.draft
        return desk(user=request.user, team=team, draft=draft)
    if what in ("save", "experiment"):
        version = _save(request, team, at, said) if what == "save" else _add(request, team, at, said)
        # The candidate is that version now, and what is written next begins from it.
        kept = list(at.draft.candidates)
        kept[at.draft.keep] = replace(kept[at.draft.keep], prompt=str(version.uid))
        return desk(user=request.user, team=team, draft=replace(at.draft, candidates=tuple(kept), name=""))
    return at


def _kept(at: Desk) -> CandidateDesk:
    """The candidate that is to be kept, with nothing wrong in it."""
    if at.draft.keep >= len(at.candidates):
        raise ApplicationError(_("Choose a candidate to keep."), field="keep")
    found = at.candidates[at.draft.keep]
    for says in found.problems.values():
        raise ApplicationError(_("Candidate %(letter)s: %(problem)s") % {"letter": found.letter, "problem": says})
    return found


def _save(request: HttpRequest, team: Team, at: Desk, said: _Said) -> PromptVersion:
    kept = _kept(at)
    version = playground_prompt_save(
        actor=request.user,
        team=team,
        name=at.draft.name,
        spec=kept.spec(),
        begun_as=kept.version,
        columns=at.variables,
    )
    said.context |= {
        "said": _("%(prompt)s says what candidate %(letter)s does.") % {"prompt": version, "letter": kept.letter},
        "said_url": reverse("prompt_version", args=[team.slug, version.prompt.uid, version.number]),
        "said_do": _("See the version"),
    }
    return version


def _add(request: HttpRequest, team: Team, at: Desk, said: _Said) -> PromptVersion:
    kept = _kept(at)
    found = experiment(user=request.user, team=team, uid=at.draft.experiment, action="edit")
    candidate = playground_candidate_add(
        actor=request.user,
        experiment=found,
        model=kept.draft.model,
        name=at.draft.name,
        spec=kept.spec(),
        begun_as=kept.version,
        columns=at.variables,
        max_tokens=int(kept.draft.max_tokens),
        temperature=float(kept.draft.temperature),
    )
    words = {"letter": kept.letter, "experiment": found.name, "prompt": candidate.prompt_version}
    said.context |= {
        "said": _("Candidate %(letter)s is in %(experiment)s, with %(prompt)s.") % words,
        "said_url": reverse("experiment_candidates", args=[team.slug, found.uid]),
        "said_do": _("See its candidates"),
    }
    assert candidate.prompt_version is not None
    return candidate.prompt_version


def _page(request: HttpRequest, team: Team, at: Desk, said: _Said | None = None) -> HttpResponse:
    context: dict[str, Any] = dict(said.context) if said is not None else {}
    run = said.run if said is not None else None
    place = reverse("playground_run", args=[team.slug, run.uid]) if run is not None else ""
    if run is not None and said is not None and not said.send:
        context["link"] = request.build_absolute_uri(place)
    asked = run if said is not None and said.send else None
    editor = may(user=request.user, team=team, action="edit")
    context |= shown(user=request.user, team=team, at=at, asked=asked) | {
        "here": reverse("playground", args=[team.slug]),
        "run_url": request.path,
        "may_edit": editor,
        "readonly": not editor,
        "send_hint": _("Ctrl+Enter sends.") if editor else "",
        # A link shows what it names, whether or not anything can be asked.
        "empty": request.method != "POST" and not any(map(can_be_asked, at.choices)) and not at.draft.text,
    }
    refused = "error" in context and not request.htmx  # type: ignore[attr-defined]
    response = render_page(request, "workspace/playground.html", context, parts=PARTS, status=422 if refused else 200)
    if place and request.htmx:  # type: ignore[attr-defined]
        response["HX-Push-Url"] = place
    return response
