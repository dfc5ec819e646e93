"""What an API key may be for. A key never opens more than the role of its person does at that moment."""

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class KeyScope(models.TextChoices):
    GENERATE = "generate", _("Call models")
    READ = "read", _("Read")
    WRITE = "write", _("Change")


# The action (apps.core.roles) without which a scope opens nothing.
NEEDS: dict[str, str] = {KeyScope.GENERATE: "edit", KeyScope.READ: "view", KeyScope.WRITE: "edit"}

# What a scope opens, for whoever chooses it.
SAYS: dict[str, Promise] = {
    KeyScope.GENERATE: _("Call models: by REST and with OpenAI's clients. It spends what the budgets allow."),
    KeyScope.READ: _("Read: whatever the REST API gets, reports and rows included."),
    KeyScope.WRITE: _("Change: upload, start, change and delete by REST."),
}
