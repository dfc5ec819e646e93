"""What the commands of this product have in common."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _


class TranslatedCommand(BaseCommand):
    """A command whose `help`, marked by `gettext_noop`, is shown in the language of the installation."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        self.help = _(self.help)
        return super().create_parser(prog_name, subcommand, **kwargs)
