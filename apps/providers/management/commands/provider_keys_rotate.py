"""Encrypt every stored secret with the newest key."""

from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.core.management.base import TranslatedCommand
from apps.core.sealed_rows import rotate


class Command(TranslatedCommand):
    help = gettext_noop("Encrypt every stored key with the first of LLMOPT_ENCRYPTION_KEYS. It may be run again.")

    def handle(self, *args: Any, **options: Any) -> None:
        done = rotate()
        counts = {"again": done.encrypted_again, "already": done.newest_already, "lost": len(done.unreadable)}
        self.stdout.write(
            _("%(again)d encrypted again, %(already)d under the newest key already, %(lost)d cannot be decrypted.")
            % counts
        )
        if done.unreadable:
            raise CommandError(
                _("Put the key that these were encrypted with back at the end of LLMOPT_ENCRYPTION_KEYS: %(rows)s.")
                % {"rows": ", ".join(done.unreadable)}
            )
        self.stdout.write(_("Older keys can be taken out of LLMOPT_ENCRYPTION_KEYS."))
