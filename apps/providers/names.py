"""Other names of a team's models. Whoever gives such names lies above this app and says by a dotted name where they
are read.
"""

from collections import Counter
from dataclasses import dataclass

from django.utils.module_loading import import_string

from apps.providers.models import LanguageModel

_sources: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class OtherName:
    """A name that points at a model and may move. `whole` is given once in a team; `short` may be given more than once,
    and then means nothing by itself.
    """

    short: str
    whole: str
    model_id: int


def register_names(name: str, dotted: str) -> None:
    """Have the function at `dotted`, from a team's id to its `OtherName`s, asked for names. Once for each `name`."""
    _sources[name] = dotted


def other_names(team_id: int) -> list[OtherName]:
    """Every other name that a team has given to models, whatever their state."""
    return [found for dotted in _sources.values() for found in import_string(dotted)(team_id)]


def callable_names(team_id: int) -> dict[int, list[str]]:
    """The other names that a model can be called by, by its id: short where that says which, else whole."""
    found = other_names(team_id)
    given = Counter(name.short for name in found)
    names: dict[int, list[str]] = {}
    if found:
        rows = LanguageModel.objects.filter(team_id=team_id).values_list("served_name", "provider_model")
        taken = {name for row in rows for name in row}
        for name in found:
            says_which = given[name.short] == 1 and name.short not in taken
            shown = name.short if says_which else name.whole
            # A model's own name goes before any other, so that one that equals it calls something else.
            if shown not in taken:
                names.setdefault(name.model_id, []).append(shown)
    return {model: sorted(each) for model, each in names.items()}
