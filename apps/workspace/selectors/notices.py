"""What has ended since a person last looked, so that it is told on whatever page they are."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.accounts.models import Team
from apps.billing.alert_reading import alerts_to_tell
from apps.billing.alert_texts import page_of, text_of, title_of
from apps.billing.models import Alert
from apps.core import jobs
from apps.core.models import JobStatus, LiveEvent
from apps.evaluation.models import Evaluation
from apps.workspace.selectors.jobs import RELATED, job_title, job_url

# An event is read only when it is this old: one that was written earlier and committed later would be passed over.
SETTLE = timedelta(seconds=3)
# More than so many at once are told in one sentence.
AT_MOST = 3
# Who started a job; one without such a field is started by whoever owns its experiment.
_OWNERS = {
    "evaluation.evaluation": "experiment__created_by",
    "workspace.experimentrun": "actor",
}
# What each kind of job has done when it ended well, and what its link says.
ENDED_WELL = {
    "evaluation.evaluation": (gettext_noop("%(job)s has ended."), gettext_noop("See the figures")),
    "experiments.datasetimport": (
        gettext_noop("%(job)s is checked and waits to become a dataset version."),
        gettext_noop("Look at it"),
    ),
    "experiments.upload": (gettext_noop("%(job)s is read. Say what its columns are."), gettext_noop("Go on")),
    "providers.modelfetch": (gettext_noop("%(job)s is ready on this machine."), gettext_noop("See the model")),
    "training.preflight": (gettext_noop("The preflight of %(job)s has ended."), gettext_noop("See what it would take")),
    "training.trainingrun": (gettext_noop("%(job)s is trained."), gettext_noop("See the training")),
    "workspace.experimentrun": (gettext_noop("%(job)s has its result."), gettext_noop("See the result")),
}


@dataclass(frozen=True)
class Notice:
    """One job that has ended, or one alert: a sentence, how good the news is, its page (empty while it has none)."""

    text: str
    tone: str
    url: str
    link: str


def notices_begin(*, team: Team) -> int:
    """The place in a team's events from which on news is news."""
    newest = LiveEvent.objects.filter(team=team).order_by("-id").values_list("id", flat=True).first()
    return newest or 0


def notices_since(*, user: Any, team: Team, since: int) -> tuple[list[Notice], int]:
    """What `user` has started and what has ended after event `since`, oldest first; and the place up to which was read.

    What an experiment run does on its way is not told: the run itself tells how it ended. Alerts of budgets that
    concern `user` come first. An answer in the playground is no notice, but what it cost is news for the top bar.
    """
    events = LiveEvent.objects.filter(
        team=team, part__in=("status", "alert", "answer"), id__gt=since, created_at__lt=timezone.now() - SETTLE
    ).order_by("id")
    topics: dict[str, set[str]] = {}
    for number, topic in events.values_list("id", "topic"):
        since = number
        kind, _colon, uid = topic.partition(":")
        topics.setdefault(kind, set()).add(uid)
    alerts = topics.pop("alert", set())
    told = [_of_alert(each) for each in alerts_to_tell(user=user, team=team, uids=alerts)] if alerts else []
    ended = [row for kind, uids in topics.items() for row in _ended(user, team, kind, uids)]
    ended.sort(key=lambda row: (row.finished_at, row.pk))
    return [*told, *(_notice(row, team) for row in ended)], since


def _of_alert(alert: Alert) -> Notice:
    # On the budget's own page too: it does not change by itself.
    text = f"{title_of(alert)}. {text_of(alert)}"
    link = _("See the budget") if alert.budget_period is not None else _("See all alerts")
    return Notice(text=text, tone="warning", url=f"{page_of(alert)}#alerts", link=link)


def _ended(user: Any, team: Team, kind: str, uids: Iterable[str]) -> list[Any]:
    for registered in jobs.kinds():
        model = registered.model_class
        if model._meta.model_name != kind:
            continue
        owner = _OWNERS.get(model._meta.label_lower, "created_by")
        rows = model._default_manager.for_user(user, "view").filter(
            **{model.team_path: team, owner: user, "uid__in": uids, "status__in": jobs.ENDED}
        )
        if model is Evaluation:
            rows = rows.filter(purpose=Evaluation.Purpose.CHOICE, candidate__trial=False)
        elif kind == "trainingrun":
            rows = rows.filter(experiment_run=None)
        # Whoever has gone on from a page needs nobody to tell them to.
        elif kind == "upload":
            rows = rows.filter(imports=None)
        elif kind == "datasetimport":
            rows = rows.filter(dataset_version=None)
        return list(rows.select_related(*RELATED.get(model._meta.label_lower, ())))
    return []


def _notice(row: Any, team: Team) -> Notice:
    title = job_title(row)
    url = job_url(row, team)
    if row.status == JobStatus.FAILED:
        text = _("%(job)s has failed. %(error)s") % {"job": title, "error": row.error}
        return Notice(text=text, tone="bad", url=url, link=_("See what to do"))
    if row.status == JobStatus.CANCELLED:
        text = _("%(job)s is cancelled.") % {"job": title}
        return Notice(text=text, tone="info", url=url, link=_("Show"))
    text, link = ENDED_WELL[row._meta.label_lower]
    return Notice(text=_(text) % {"job": title}, tone="good", url=url, link=_(link))
