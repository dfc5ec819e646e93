"""What a comparison with a commercial model would cost, for an experiment that has none."""

from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext as _

from apps.billing.engine.published import published_price
from apps.billing.engine.token_estimate import CallSize, cost_range
from apps.core.formats import money_range_text
from apps.evaluation.call_sizes import call_size
from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.models import Candidate, Experiment
from apps.experiments.selectors import contenders, prompt_spec
from apps.providers.availability import today
from apps.providers.engine.commercial import smallest_of_each_provider
from apps.providers.models import LanguageModel, ProviderKey

MAX_TOKENS = 256


@dataclass(frozen=True)
class Offer:
    """One line below a conclusion, and whether the team has a key already."""

    says: str
    has_key: bool


def commercial_offer(experiment: Experiment) -> Offer | None:
    """None while it runs, for a team that lets no text leave, and where a commercial model took part."""
    if experiment.state != Experiment.State.FINISHED or not experiment.team.text_may_leave:
        return None
    candidates = contenders(experiment)
    if any(candidate.language_model.kind == LanguageModel.Kind.COMMERCIAL for candidate in candidates):
        return None
    size = _longest_call(experiment, candidates)
    keys = set(ProviderKey.objects.filter(team=experiment.team, revoked_at=None).values_list("provider", flat=True))
    models = [model for model in smallest_of_each_provider(today()) if not keys or model.provider in keys]
    priced = [(model.label, published_price(model.provider, model.name, timezone.now())) for model in models]
    known = [(label, price.rates) for label, price in priced if price is not None]
    if size is None or not known:
        return None
    ranges = [cost_range(rates, size, calls=experiment.dataset_version.test_count) for _label, rates in known]
    cost = money_range_text(min(low for low, _high in ranges), max(high for _low, high in ranges))
    names = _(" or ").join(label for label, _rates in known)
    said = _("Compare with %(names)s: about %(cost)s for this test.") % {"names": names, "cost": cost}
    return Offer(said, bool(keys))


def _longest_call(experiment: Experiment, candidates: list[Candidate]) -> CallSize | None:
    """As the longest prompt of this experiment would be sent; a commercial candidate would get the same one."""
    prompts: list[PromptSpec | None] = [
        prompt_spec(each.prompt_version) for each in candidates if each.prompt_version is not None
    ]
    limits = [int(each.parameters.get("max_tokens", 0)) for each in candidates]
    bound = max(limits, default=0) or MAX_TOKENS
    sizes = [call_size(experiment.dataset_version, prompt, max_tokens=bound) for prompt in prompts or [None]]
    return max((size for size in sizes if size is not None), key=lambda size: size.prompt_bytes, default=None)
