"""Add a version of a prompt from a file."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.accounts.selectors import team_called
from apps.core.errors import ApplicationError, translated
from apps.core.management.base import TranslatedCommand
from apps.experiments.engine.prompts import PromptError, PromptSpec, spec_from_json
from apps.experiments.services.prompts import prompt_version_create


class Command(TranslatedCommand):
    help = gettext_noop("Add a version of a prompt from a file: plain text with {{ input }}, or JSON with messages.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help=_('text, or JSON: {"messages": [{"role": "user", "content": "{{ input }}"}]}'))
        parser.add_argument("--team", required=True, help=_("the team's short name, as in its address"))
        parser.add_argument("--name", required=True, help=_("the prompt's name; it is made if there is none"))
        parser.add_argument("--note", default="", help=_("what is new in this version"))
        parser.add_argument("--columns", default="", help=_("kept columns that it may name, with commas between them"))

    def handle(self, *args: Any, **options: Any) -> None:
        team = team_called(options["team"])
        if team is None:
            raise CommandError(_("There is no team %(name)s.") % {"name": options["team"]})
        try:
            version = prompt_version_create(
                actor=None,
                team=team,
                name=options["name"],
                spec=_spec(Path(options["file"])),
                note=options["note"],
                columns=[name.strip() for name in options["columns"].split(",") if name.strip()],
            )
        except ApplicationError as error:
            raise CommandError(error.message) from error
        self.stdout.write(_("%(name)s, version %(n)s") % {"name": version.prompt.name, "n": version.number})


def _spec(path: Path) -> PromptSpec:
    """What the file says; a file whose name ends in .json holds messages, any other the user's message."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(_("%(path)s cannot be read: %(error)s") % {"path": path, "error": error}) from error
    if path.suffix.lower() != ".json":
        return spec_from_json([{"role": "user", "content": text.rstrip("\n")}])
    try:
        return spec_from_json(_messages(json.loads(text)))
    except PromptError as error:
        raise CommandError(translated(error)) from error
    except (ValueError, RecursionError) as error:
        raise CommandError(_("%(path)s is not valid JSON: %(error)s") % {"path": path, "error": error}) from error


def _messages(content: Any) -> list[dict[str, str]]:
    items = content.get("messages") if isinstance(content, dict) else content
    if not isinstance(items, list) or not all(map(_is_message, items)):
        raise CommandError(_('The file should hold {"messages": [{"role": …, "content": …}]}, each of them text.'))
    return items


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("role"), str) and isinstance(item.get("content"), str)
