"""What a page makes of a service's refusal. A missing role or object stays an error page: no form can mend it."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest

from apps.core.errors import ApplicationError, NotAllowed, NotFound


def refuse_in_form(form: forms.BaseForm, error: ApplicationError) -> None:
    """Show the refusal at the field that it names, or above the form."""
    _reraise_what_is_no_answer(error)
    form.add_error(error.field if error.field in form.fields else None, error.message)


def refuse_on_page(request: HttpRequest, error: ApplicationError) -> None:
    """Show the refusal as a message on the next page."""
    _reraise_what_is_no_answer(error)
    messages.error(request, error.message)


def _reraise_what_is_no_answer(error: ApplicationError) -> None:
    if isinstance(error, NotAllowed | NotFound):
        raise error
