"""Import a file of any size as a dataset version, from the command line."""

import json
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, cast

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from apps.accounts.models import Membership, Team
from apps.core.engine.messages import Sentence
from apps.core.errors import ApplicationError, translated
from apps.core.management.base import TranslatedCommand
from apps.core.processes.environment import without_secrets
from apps.experiments import rows
from apps.experiments.engine.intake.problems import OFFERED_FIXES
from apps.experiments.models import Dataset, DatasetVersion
from apps.experiments.reports import not_compared_text
from apps.experiments.services.datasets import dataset_create, dataset_version_from_staged

ENGINE = "apps.experiments.engine.intake"
_POLL_SECONDS = 0.2


class Command(TranslatedCommand):
    help = gettext_noop(
        "Import CSV, TSV, JSONL or JSON: check every row, leave out duplicates, split, store. A team's dataset of the"
        " same name gets a new version."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--team", required=True, help=_("the team's short name, as in its address"))
        parser.add_argument("--name", required=True, help=_("the dataset's name"))
        parser.add_argument("--email", help=_("who imports; default: an owner of the team"))
        parser.add_argument("--input", help=_("column of the inputs; default: recognised"))
        parser.add_argument("--expected", help=_("column of the expected answers; default: recognised"))
        parser.add_argument("--group", default="", help=_("column whose rows stay in one split"))
        parser.add_argument("--keep", default="", help=_("columns to keep for prompts, separated by commas"))
        parser.add_argument("--answer", help=_('what an answer is, such as {"format": "text"}; default: recognised'))
        parser.add_argument(
            "--fixes",
            help=_("safe fixes to make, separated by commas: %(known)s; default: all")
            % {"known": ", ".join(OFFERED_FIXES)},
        )
        parser.add_argument("--tokenizer", default="", help=_("folder with tokenizer.json, to count tokens"))
        parser.add_argument("--seed", type=int, help=_("split seed of a new dataset; default: drawn"))
        parser.add_argument("--validation-percent", type=int, help=_("of a new dataset's rows; default: 15"))
        parser.add_argument("--test-percent", type=int, help=_("of a new dataset's rows; default: 15"))

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["file"].is_file():
            raise CommandError(_("There is no file %(path)s.") % {"path": options["file"]})
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(_("There is no team %(slug)s.") % {"slug": options["team"]})
        actor = _actor(team, options["email"])
        dataset = Dataset.objects.filter(team=team, name=options["name"]).first()
        shares = _shares(options, dataset)
        console = Console(file=cast(IO[str], self.stdout), markup=False, highlight=False)
        with tempfile.TemporaryDirectory(prefix="import-", dir=_scratch()) as folder:
            spec = {**self._spec(options, dataset, Path(folder), console), "probabilities": shares.probabilities}
            report = _run("stage", spec, Path(folder), console)
            try:
                version = _accept(actor, team, dataset, shares, spec, report, Path(folder), options["name"])
            except ApplicationError as error:
                raise CommandError(error.message) from error
            _print(console, version, report)

    def _spec(self, options: dict[str, Any], dataset: Dataset | None, folder: Path, console: Console) -> dict[str, Any]:
        """What the engine is asked to do; columns and answer that nobody named are looked for in the file first."""
        size = options["file"].stat().st_size
        spec: dict[str, Any] = {
            "file": str(options["file"].resolve()),
            "name": options["file"].name,
            "limits": {"max_bytes": size, "max_rows": 2**31},
            "split_seed": _seed(options["seed"], dataset),
            "tokenizer": options["tokenizer"],
        }
        if options["fixes"] is not None:
            spec["fixes"] = _fixes(options["fixes"])
        if options["input"] or options["expected"]:
            spec["mapping"] = {"input": options["input"] or "", "expected": options["expected"] or ""}
        if "mapping" not in spec or not options["answer"]:
            found = _run("inspect", spec, folder, console)["suggested"]
            spec["answer"] = found.pop("answer")
            spec.setdefault("mapping", found)
        if options["answer"]:
            spec["answer"] = _answer(options["answer"])
        if options["group"]:
            spec["mapping"]["group"] = options["group"]
        if options["keep"]:
            spec["mapping"]["keep"] = [name.strip() for name in options["keep"].split(",")]
        earlier = rows.earlier_file(dataset, folder / "earlier.parquet") if dataset is not None else None
        spec["earlier"] = str(earlier) if earlier is not None else None
        return spec


def _actor(team: Team, email: str | None) -> Any:
    members = Membership.objects.filter(team=team).select_related("user").order_by("pk")
    found = members.filter(user__email=email).first() if email else members.filter(role="owner").first()
    if found is None:
        raise CommandError(_("The team has no such member.") if email else _("The team has no owner."))
    return found.user


def _seed(given: int | None, dataset: Dataset | None) -> int:
    if dataset is not None:
        if given not in (None, dataset.split_seed):
            raise CommandError(_("This dataset's split seed is %(seed)s for ever.") % {"seed": dataset.split_seed})
        return int(dataset.split_seed)
    return secrets.randbelow(2**31) if given is None else given


def _shares(options: dict[str, Any], dataset: Dataset | None) -> Dataset:
    """Who says how many rows go where: the dataset, or one that is not stored yet."""
    given = {name: options[name] for name in ("validation_percent", "test_percent") if options[name] is not None}
    if dataset is None:
        dataset = Dataset(**given)
        try:
            dataset.check_shares()
        except ApplicationError as error:
            raise CommandError(error.message) from error
    elif any(getattr(dataset, name) != percent for name, percent in given.items()):
        raise CommandError(
            _("This dataset gives %(validation)d %% to validation and %(test)d %% to the test, for ever.")
            % {"validation": dataset.validation_percent, "test": dataset.test_percent}
        )
    return dataset


def _answer(text: str) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "format" not in answer:
        raise CommandError(_('--answer is JSON such as {"format": "label", "labels": ["yes", "no"]}.'))
    return answer


def _fixes(text: str) -> list[str]:
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in OFFERED_FIXES:
            raise CommandError(
                _("There is no fix %(unknown)s. There are: %(known)s.")
                % {"unknown": name, "known": ", ".join(OFFERED_FIXES)}
            )
    return wanted


def _scratch() -> Path:
    """On the disk of the artifacts, so that the file need not be copied when it is stored."""
    folder = Path(settings.VAR_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(command: str, spec: dict[str, Any], folder: Path, console: Console) -> dict[str, Any]:
    """Run the engine in a process of its own, showing where it stands. CommandError when it refuses the file."""
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    events = folder / "events.jsonl"
    events.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", ENGINE, command, str(folder)], cwd=settings.BASE_DIR, env=without_secrets()
    )
    try:
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console
        ) as progress:
            task = progress.add_task("")
            while process.poll() is None:
                _show(progress, task, events)
                time.sleep(_POLL_SECONDS)
            _show(progress, task, events)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        raise CommandError(_("The engine stopped with status %(status)s.") % {"status": process.returncode})
    found: dict[str, Any] = json.loads((folder / "result.json").read_bytes())
    if found["refused_sentence"]:
        raise CommandError(translated(Sentence.from_json(found["refused_sentence"])))
    return found


def _show(progress: Progress, task: Any, events: Path) -> None:
    lines = events.read_bytes().splitlines() if events.exists() else []
    if lines:
        event = json.loads(lines[-1])
        phases = {
            "reading": _("Reading"),
            "comparing": _("Comparing"),
            "counting": _("Counting"),
            "writing": _("Writing"),
        }
        progress.update(task, description=phases[event["phase"]], completed=event["done"], total=max(1, event["total"]))


def _accept(
    actor: Any,
    team: Team,
    dataset: Dataset | None,
    shares: Dataset,
    spec: dict[str, Any],
    report: dict[str, Any],
    folder: Path,
    name: str,
) -> DatasetVersion:
    if dataset is None:
        dataset = dataset_create(
            actor=actor,
            team=team,
            name=name,
            split_seed=spec["split_seed"],
            validation_percent=shares.validation_percent,
            test_percent=shares.test_percent,
            source=spec["name"],
        )
    return dataset_version_from_staged(
        actor=actor,
        dataset=dataset,
        staged=folder,
        report=report,
        answer=spec["answer"],
        columns=report["columns"],
        facts={"fixes": spec["fixes"]} if "fixes" in spec else None,
    )


def _print(console: Console, version: DatasetVersion, report: dict[str, Any]) -> None:
    console.print(
        _("%(version)s: %(read)s rows read, %(accepted)s accepted, %(fixed)s fixes.")
        % {
            "version": version,
            "read": f"{report['rows_read']:,}",
            "accepted": f"{report['accepted']:,}",
            "fixed": f"{report['fixed']:,}",
        }
    )
    for reason, count in report["left_out"].items():
        console.print(_("  left out, %(reason)s: %(count)s") % {"reason": _(reason), "count": f"{count:,}"})
    splits = {name: f"{count:,}" for name, count in report["splits"].items()}
    console.print(_("  train %(train)s, validation %(validation)s, test %(test)s") % splits)
    console.print(
        _("  near-duplicate groups %(groups)s; rows that may hold personal data: %(personal)s")
        % {"groups": f"{report['near_duplicate_groups']:,}", "personal": report["personal"] or _("none seen")}
    )
    not_compared = not_compared_text(report["pairs_not_compared"])
    if not_compared:
        console.print(f"  {not_compared}")
    rates = report["rates"]
    console.print(
        _("  first pass %(first)s rows/s, second pass %(second)s rows/s")
        % {"first": f"{rates['first_pass']:,}", "second": f"{rates['second_pass']:,}"}
    )
