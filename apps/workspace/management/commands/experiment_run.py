"""A whole experiment on a dataset version by command: the proposal of the page, changed, run and followed."""

from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from rich.console import Console

from apps.core.errors import ApplicationError
from apps.core.formats import duration_range_text
from apps.core.management.base import TranslatedCommand
from apps.core.management.following import followed
from apps.experiments.models import DatasetVersion
from apps.providers.engine.commercial import CommercialModel
from apps.training.commandline import acting_owner, version_named
from apps.training.plan import PRESETS
from apps.workspace.forms.plan import PlanForm, plan_form
from apps.workspace.quickstart.commercial import models_within_reach
from apps.workspace.selectors import plans as selectors
from apps.workspace.services.plans import plan_start

PARTS = ("plain", "few_shot", "tune", "commercial")


class Command(TranslatedCommand):
    help = gettext_noop(
        "Run a whole experiment on a dataset version: free baselines, prompts, a fine-tuned model, one final test, one"
        " report. What is not told is as the page proposes."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # Django's own --version says which Django this is; here it is the dataset's.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, help=_("the team's short name, as in its address"))
        parser.add_argument("--dataset", required=True, help=_("name or uid of the dataset"))
        parser.add_argument("--version", dest="number", type=int, default=0, help=_("its version; else the newest"))
        parser.add_argument("--name", help=_("the experiment's name; else the dataset's"))
        parser.add_argument("--base", help=_("name or uid of the base model; else the first that is ready"))
        parser.add_argument("--instruction", type=Path, help=_("file with the instruction of the prompts"))
        parser.add_argument("--preset", choices=list(PRESETS), help=_("how long to train"))
        parser.add_argument("--margin", type=float, help=_("smallest difference that matters"))
        parser.add_argument("--budget", type=float, help=_("in US dollars; no call is made past it"))
        for part in PARTS:
            parser.add_argument(
                f"--no-{part.replace('_', '-')}", action="store_true", help=_("leave this candidate out")
            )
        parser.add_argument("--estimate", action="store_true", help=_("say what it would take, and start nothing"))
        parser.add_argument("--wait", action="store_true", help=_("follow it to its end and print the conclusion"))

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(file=cast(IO[str], self.stdout), highlight=False, soft_wrap=True)
        try:
            actor, team = acting_owner(options["team"])
            version = version_named(team, options["dataset"], options["number"])
            models = [choice for choice in selectors.base_choices(user=actor, team=team) if choice.ready]
            base = _base(models, options["base"])
            within_reach = models_within_reach(user=actor, team=team)
            form = _form(version, models, base, options, within_reach)
            values = form.plan
            _say(console, version, selectors.estimate_for(version, base, values, within_reach))
            if options["estimate"]:
                return
            run = plan_start(actor=actor, version=version, base=values["base_model"], values=values)
        except ApplicationError as error:
            raise CommandError(error.message) from error
        console.print(_("Started %(name)s (job %(uid)s).") % {"name": values["name"], "uid": run.uid})
        if options["wait"]:
            done = followed(run, console, values["name"])
            console.print(done.experiment.conclusion_text)
            console.print(_("Report: manage.py experiment_report %(uid)s") % {"uid": done.experiment.uid})


def _base(models: list[Any], named: str | None) -> Any:
    if not named:
        return models[0] if models else None
    found = next((model for model in models if named in (model.entry.name, model.value, model.model.served_name)), None)
    if found is None:
        known = ", ".join(model.entry.name for model in models) or "–"
        raise CommandError(
            _("There is no ready model %(name)s here. There are: %(known)s") % {"name": named, "known": known}
        )
    return found


def _form(
    version: DatasetVersion, models: list[Any], base: Any, options: dict[str, Any], within_reach: list[CommercialModel]
) -> PlanForm:
    """The page's form, filled with the proposal and what was told. CommandError names what is wrong."""
    proposal = selectors.proposal_for(version, base, within_reach)
    empty = plan_form(version, models, proposal)
    values = {name: empty.get_initial_for_field(field, name) for name, field in empty.fields.items()}
    told = {name: options[name] for name in ("name", "preset", "margin", "budget") if options[name] is not None}
    if options["instruction"]:
        told["instruction"] = _text(options["instruction"])
    told |= {part: False for part in PARTS if options[f"no_{part}"]}
    form = plan_form(version, models, proposal, data={k: v for k, v in {**values, **told}.items() if v is not None})
    if not form.is_valid():
        raise CommandError("\n".join(f"{name}: {' '.join(map(str, said))}" for name, said in form.errors.items()))
    return form


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(_("%(path)s cannot be read: %(error)s") % {"path": path, "error": error}) from error


def _say(console: Console, version: DatasetVersion, estimate: Any) -> None:
    counts = {"version": version, "train": version.train_count, "test": version.test_count}
    console.print(_("%(version)s: %(train)s training rows, %(test)s test rows.") % counts)
    if estimate.known:
        time = duration_range_text(estimate.seconds_low, estimate.seconds_high)
        console.print(_("It will take %(time)s.") % {"time": time})
    if estimate.unknown:
        names = ", ".join(estimate.unknown)
        console.print(_("Never measured here, so nobody knows how long it takes: %(names)s.") % {"names": names})
