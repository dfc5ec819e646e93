"""The button on a provider key's page that tests it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.billing.key_tests import provider_key_test
from apps.core.errors import ApplicationError
from apps.core.formats import money_text
from apps.providers import selectors


@require_POST
@team_page("edit")
def key_test(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Ask one question with the key; its page then says what came of it."""
    key = selectors.provider_key(user=request.user, team=team, uid=uid, action="edit")
    try:
        result = provider_key_test(actor=request.user, key=key)
    except ApplicationError as error:
        if error.status == 403:
            raise
        messages.error(request, error.message)
    else:
        cost = money_text(result.cost_nanousd)
        if not result.error:
            messages.success(request, _("The key works. The test cost %(cost)s.") % {"cost": cost})
    return redirect("provider_key", team=team.slug, uid=key.uid)
