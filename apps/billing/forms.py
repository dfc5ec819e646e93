"""The shape of what a person sends to a model, and of what they say about money."""

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.billing.engine.rates import Rate, TokenRates
from apps.billing.models import AlertDestination, Budget
from apps.billing.price_lists import KINDS
from apps.billing.pricing import MOST_TOKENS
from apps.billing.services import MOST_STEPS
from apps.core.formats import count_text

NANO = 10**9
MOST_DOLLARS = 1_000_000_000
LEAST_STEPS = 2


class TryForm(forms.Form):
    text = forms.CharField(label=_("Text"), widget=forms.Textarea(attrs={"rows": 4}), strip=False)
    max_tokens = forms.IntegerField(
        label=_("Longest answer, in tokens"), min_value=1, max_value=1024, initial=96, required=False
    )
    with_prompt = forms.BooleanField(label=_("In the prompt that it was trained with"), required=False, initial=True)

    def __init__(self, *args: Any, columns: list[str], has_prompt: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not has_prompt:
            del self.fields["with_prompt"]
        for name in columns:
            self.fields[f"column_{name}"] = forms.CharField(label=name, required=False, max_length=20_000)

    def columns(self) -> dict[str, str]:
        """What the prompt's other variables stand for."""
        given = self.cleaned_data.items()
        return {key.removeprefix("column_"): value for key, value in given if key.startswith("column_")}


def _dollars(label: Any, **more: Any) -> forms.DecimalField:
    """An amount in dollars, down to a nano-dollar."""
    return forms.DecimalField(label=label, max_value=MOST_DOLLARS, decimal_places=9, **more)


def typed(nanousd: int) -> str:
    """Nano-dollars as they are typed: no trailing zeros, two decimals at least."""
    whole, nano = divmod(nanousd, NANO)
    return f"{whole}.{f'{nano:09d}'.rstrip('0'):0<2}"


class LimitForm(forms.Form):
    limit = _dollars(
        _("Limit in dollars"),
        min_value=Decimal("0.000000001"),
        help_text=_("What may be spent and held together in a period. One below both only stops new calls."),
    )

    def limit_nanousd(self) -> int:
        return int(self.cleaned_data["limit"] * NANO)


class PriceForm(forms.Form):
    """What every price of a team says beside its amounts."""

    source = forms.CharField(
        label=_("Where these figures come from"),
        max_length=120,
        help_text=_("Such as the contract, or what the server costs."),
    )
    first_day = forms.DateField(
        label=_("First day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("Left empty, it holds from now on; a later day begins at midnight in the team's time zone."),
    )


class LocalPriceForm(PriceForm):
    nanousd_per_hour = _dollars(
        _("An hour of computing, in dollars"),
        min_value=Decimal(0),
        help_text=_("Such as what the machine costs to rent, or to buy and run, by the hour. 0 if it costs nothing."),
    )

    field_order = ("nanousd_per_hour", "source", "first_day")

    def clean_nanousd_per_hour(self) -> int:
        return int(self.cleaned_data["nanousd_per_hour"] * NANO)


class TokenPriceForm(PriceForm):
    """US dollars for a million tokens, and what they are above a number of tokens in the prompt: one step for each
    `above_<n>` that is typed or sent, and two at least.
    """

    input = _dollars(_("In, dollars for a million tokens"), min_value=Decimal(0), help_text=_("0 if it costs nothing."))
    cached_input = _dollars(
        _("In, from the provider's cache"),
        min_value=Decimal(0),
        required=False,
        help_text=_("Left empty, such tokens cost as all others that go in."),
    )
    cache_write = _dollars(
        _("In, written to the provider's cache"),
        min_value=Decimal(0),
        required=False,
        help_text=_("Some providers charge more for what they keep. Left empty, it costs as all others."),
    )
    output = _dollars(_("Out, dollars for a million tokens"), min_value=Decimal(0))
    reasoning = _dollars(
        _("Out, reasoning"),
        min_value=Decimal(0),
        required=False,
        help_text=_("Left empty, what a model thinks costs as all others that come out."),
    )
    request = _dollars(
        _("Each call, in dollars"),
        min_value=Decimal(0),
        required=False,
        help_text=_("What a call costs beside its tokens. Left empty, nothing."),
    )

    field_order = (*KINDS, "request", "source", "first_day")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        typed_or_sent = [name.removeprefix("above_") for name in (*self.data, *self.initial) if name[:6] == "above_"]
        numbers = [int(number) for number in typed_or_sent if re.fullmatch(r"[0-9]{1,3}", number)]
        self._numbers = range(1, min(max([LEAST_STEPS, *numbers]), MOST_STEPS) + 1)
        for n in self._numbers:
            self.fields |= _step_fields(n)

    def plain_fields(self) -> list[forms.BoundField]:
        """What holds for every prompt, unless a step changes it."""
        return [self[kind] for kind in (*KINDS, "request")]

    def steps(self) -> list[list[forms.BoundField]]:
        return [[self[name] for name in _step_fields(n)] for n in self._numbers]

    def steps_open(self) -> bool:
        """Whether anything stands in a step, which then must not be hidden."""
        return any(field.value() not in (None, "") or field.errors for step in self.steps() for field in step)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        before = 0
        for n in self._numbers:
            if not any(name in self.errors or given.get(name) is not None for name in _step_fields(n)):
                continue
            for name in ("above", "input", "output"):
                if f"{name}_{n}" not in self.errors and given.get(f"{name}_{n}") is None:
                    self.add_error(f"{name}_{n}", _STEP_NEEDS[name])
            above = given.get(f"above_{n}")
            if above is not None and above <= before:
                says = _("A step begins above more tokens than the one before it: above %(tokens)s.")
                self.add_error(f"above_{n}", says % {"tokens": count_text(before)})
            before = above or before
        return given

    def rates(self) -> TokenRates:
        given, made = self._rate("input"), self._rate("output")
        assert given is not None
        assert made is not None
        return TokenRates(
            given,
            made,
            cached_input=self._rate("cached_input"),
            cache_write=self._rate("cache_write"),
            reasoning=self._rate("reasoning"),
            request_nanousd=int((self.cleaned_data["request"] or 0) * NANO),
        )

    def _rate(self, kind: str) -> Rate | None:
        """Where only some of a kind's prices are given, the others are those of the whole that it is a part of."""
        given, whole = self.cleaned_data, "output" if kind == "reasoning" else "input"
        steps = [n for n in self._numbers if given[f"above_{n}"] is not None]
        if all(given[name] is None for name in (kind, *(f"{kind}_{n}" for n in steps))):
            return None

        def nanousd(end: str) -> int:
            value = given[f"{kind}{end}"]
            return int((given[f"{whole}{end}"] if value is None else value) * NANO)

        return Rate(nanousd(""), tuple((given[f"above_{n}"], nanousd(f"_{n}")) for n in steps))


_STEP_NEEDS = {
    "above": _("Say above how many tokens these prices hold."),
    "input": _("Give what a million tokens in cost from there on."),
    "output": _("Give what a million tokens out cost from there on."),
}


def _step_fields(n: int) -> dict[str, forms.Field]:
    """One step; all of it may be left empty."""
    labels = {
        "input": _("Step %(n)d: in"),
        "cached_input": _("Step %(n)d: in, cached"),
        "cache_write": _("Step %(n)d: in, to the cache"),
        "output": _("Step %(n)d: out"),
        "reasoning": _("Step %(n)d: out, reasoning"),
    }
    above = forms.IntegerField(
        label=_("Step %(n)d: above, in tokens") % {"n": n}, min_value=1, max_value=MOST_TOKENS, required=False
    )
    amounts = {f"{kind}_{n}": _dollars(labels[kind] % {"n": n}, min_value=Decimal(0), required=False) for kind in KINDS}
    return {f"above_{n}": above, **amounts}


class BudgetForm(LimitForm):
    of = forms.ChoiceField(label=_("Whose"), help_text=_("Calls of one experiment, person or API key, or all."))
    period = forms.ChoiceField(
        label=_("Period"),
        choices=Budget.Period.choices,
        initial=Budget.Period.MONTHLY,
        help_text=_("Months and days begin at midnight in the team's time zone. Money spent earlier does not count."),
    )
    hard = forms.ChoiceField(
        label=_("When the limit is reached"),
        choices=[
            ("hard", _("Hard: a call that might exceed it is refused before it is sent.")),
            ("soft", _("Soft: it counts and shows that the limit is passed, and refuses nothing.")),
        ],
        initial="hard",
        widget=forms.RadioSelect,
    )

    field_order = ("of", "period", "limit", "hard")

    def __init__(self, *args: Any, owners: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["of"].choices = owners  # type: ignore[attr-defined]


class DaysForm(forms.Form):
    """Which days are shown; everything left out means this month."""

    range = forms.ChoiceField(
        label=_("Days"),
        choices=[("month", _("This month")), ("30d", _("Last 30 days")), ("custom", _("From day to day"))],
        required=False,
    )
    first = forms.DateField(label=_("First day"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(label=_("Last day"), required=False, widget=forms.DateInput(attrs={"type": "date"}))


class CorrectionForm(forms.Form):
    amount = _dollars(
        _("What it really cost, in dollars"), min_value=Decimal(0), help_text=_("0 if the provider charged nothing.")
    )
    evidence = forms.CharField(
        label=_("Where this figure comes from"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Such as the provider's usage page or an invoice, with its day and number."),
    )

    def amount_nanousd(self) -> int:
        return int(self.cleaned_data["amount"] * NANO)


class AlertDestinationForm(forms.Form):
    kind = forms.ChoiceField(
        label=_("How"),
        choices=AlertDestination.Kind.choices,
        initial=AlertDestination.Kind.EMAIL,
        widget=forms.RadioSelect,
    )
    address = forms.CharField(
        label=_("Address"),
        max_length=500,
        required=False,
        help_text=_(
            "For e-mail an address, or nothing: then it is the team's owners and admins. For a webhook its https "
            "address, which must not lie inside this server's network."
        ),
    )

    def __init__(self, *args: Any, mail_available: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not mail_available:
            email = (
                AlertDestination.Kind.EMAIL.value,
                _("E-mail: not sent while this installation has no mail server"),
            )
            self.fields["kind"].choices = [email, *AlertDestination.Kind.choices[1:]]  # type: ignore[attr-defined]
