"""Train a model from the command line: the same check, the same start, the same queue as on the page."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from rich.console import Console

from apps.core.errors import ApplicationError
from apps.core.formats import count_text, duration_range_text
from apps.core.management.base import TranslatedCommand
from apps.core.management.following import followed, phase_of
from apps.training.commandline import Given, found_plan
from apps.training.datacheck import refusal_text, refusals_in
from apps.training.models import Preflight, TrainingRun
from apps.training.plan import METHODS, PRESETS
from apps.training.queueing import queue_text
from apps.training.runlist import prediction_text
from apps.training.services.preflights import preflight_accept, preflight_request


class Command(TranslatedCommand):
    help = gettext_noop("Check and start a training run; with --wait, follow it to its end.")

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # Django's own --version says which Django this is; here it is the dataset's.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, help=_("address of the team, as in /t/<team>/"))
        parser.add_argument("--dataset", required=True, help=_("name or uid of the dataset"))
        parser.add_argument("--version", dest="number", type=int, default=0, help=_("its version; else the newest"))
        parser.add_argument("--base", required=True, help=_("name, served name or uid of the base model"))
        parser.add_argument("--prompt", default="", help=_('name, "name:version" or uid; the input alone if left out'))
        parser.add_argument("--method", choices=list(METHODS), default="lora")
        parser.add_argument("--preset", choices=list(PRESETS), default="balanced")
        parser.add_argument("--max-examples", type=int, default=0)
        parser.add_argument("--max-minutes", type=float, default=0.0)
        parser.add_argument("--leave-out-long", action="store_true", help=_("leave out rows that do not fit"))
        parser.add_argument("--name", default="")
        parser.add_argument("--wait", action="store_true", help=_("follow the run to its end"))

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(highlight=False, soft_wrap=True)
        names = ("team", "dataset", "number", "base", "prompt", "method", "preset", "max_examples", "max_minutes")
        given = Given(**{name: options[name] for name in names}, leave_out_long=options["leave_out_long"])
        try:
            actor, team, plan = found_plan(given)
            check = preflight_request(actor=actor, team=team, plan=plan)
            check = followed(check, console, _("Check"), _says)
            _say(check, console)
            run = preflight_accept(actor=actor, preflight=check, name=options["name"])
        except ApplicationError as error:
            raise CommandError(error.message) from error
        console.print(_("Started %(name)s (%(uid)s).") % {"name": run.name, "uid": run.uid})
        if options["wait"]:
            _report(followed(run, console, _("Training"), _says), console)


def _says(job: Any) -> str:
    return queue_text(job) or phase_of(job)


def _say(check: Preflight, console: Console) -> None:
    """The answer of the check. CommandError when the run is refused."""
    refused = refusals_in(check)
    if refused:
        raise CommandError("\n".join(refusal_text(refusal) for refusal in refused))
    result = check.result
    console.print(
        _("%(examples)s examples, %(tokens)s trained tokens, %(memory)s MiB, %(time)s.")
        % {
            "examples": count_text(result["examples"]),
            "tokens": count_text(result["trained_tokens"]),
            "memory": count_text(result["memory_mib"]),
            "time": duration_range_text(result["seconds_low"], result["seconds_high"]),
        }
    )


def _report(run: TrainingRun, console: Console) -> None:
    console.print(prediction_text(run))
    console.print(_("The model is %(name)s.") % {"name": run.language_model.served_name})
