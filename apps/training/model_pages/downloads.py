"""Taking a model away: its folder as a .zip with a model card, written while it is sent."""

from collections.abc import Iterator
from pathlib import Path

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.artifacts import local_folder
from apps.core.errors import NotFound
from apps.core.formats import size_text
from apps.core.streaming import download
from apps.providers import selectors
from apps.providers.engine.packing import zip_chunks
from apps.providers.models import LanguageModel
from apps.training.model_pages.card import model_card
from apps.training.model_pages.reading import version_of

# What is downloaded under each name, in the order in which the page offers them.
FORMS = {"adapter": ("adapter",), "merged": ("merged", "hf")}


def offered_downloads(model: LanguageModel) -> list[dict[str, str]]:
    """What there is to take away, with its size and address."""
    offered = []
    for form, label in (("adapter", _("Download adapter")), ("merged", _("Download model"))):
        folder = _folder(model, form)
        if folder is not None:
            size = size_text(sum(path.stat().st_size for path in _files(folder)))
            url = reverse(f"model_{form}", args=[model.team.slug, model.uid])
            offered.append({"label": f"{label}, {size}", "url": url})
    return offered


@require_GET
@team_page("view")
def model_adapter(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The PEFT adapter."""
    return _sent(selectors.language_model(user=request.user, team=team, uid=uid), "adapter")  # type: ignore[return-value]


@require_GET
@team_page("view")
def model_merged(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The whole model."""
    return _sent(selectors.language_model(user=request.user, team=team, uid=uid), "merged")  # type: ignore[return-value]


def _sent(model: LanguageModel, form: str) -> HttpResponseBase:
    folder = _folder(model, form)
    if folder is None:
        raise NotFound(_("This model has no such files on this machine."))
    base = selectors.base_of(model)
    card = model_card(model, kind=form, version=version_of(model), base=base)
    name = f"{slugify(model.name)[:60] or 'model'}-{form}"
    files: list[tuple[str, Path | bytes]] = [(f"{name}/README.md", card.encode())]
    files += [(f"{name}/{path.name}", path) for path in _files(folder) if path.name != "README.md"]
    # In parts, never as a whole: a model may be larger than the memory of this machine.
    return download(zip_chunks(files), name=f"{name}.zip", content_type="application/zip")


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.iterdir() if path.is_file() and not path.is_symlink()))


def _folder(model: LanguageModel, form: str) -> Path | None:
    if not model.artifact or model.state != LanguageModel.State.READY:
        return None
    stored = local_folder(model.artifact)
    return next((stored / name for name in FORMS[form] if (stored / name).is_dir()), None)
