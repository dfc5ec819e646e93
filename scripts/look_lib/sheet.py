"""The contact sheet: every photograph on one page, with what was found."""

from html import escape
from pathlib import Path

from .page import Seen

STYLE = """
body { font: 13px/1.5 system-ui, sans-serif; margin: 24px; background: #f4f5f6; color: #16191d; }
h2 { margin: 32px 0 8px; font-size: 15px; }
.row { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; }
figure { margin: 0; background: #fff; border: 1px solid #dfe2e5; padding: 8px; }
img { display: block; height: 420px; width: auto; max-width: 680px; object-fit: cover; object-position: top; }
figcaption { padding-top: 6px; max-width: 420px; }
.bad { color: #b52a24; }
"""


def write_sheet(folder: Path, seen: list[Seen]) -> Path:
    """Write `index.html` beside the images; the path."""
    groups: dict[str, list[Seen]] = {}
    for each in seen:
        groups.setdefault(f"{each.name} · {each.state}", []).append(each)
    parts = [f"<!doctype html><meta charset=utf-8><title>Contact sheet</title><style>{STYLE}</style>"]
    parts.append(f"<h1>{len(seen)} photographs, {sum(bool(each.problems) for each in seen)} with problems</h1>")
    for title, photographs in groups.items():
        parts.append(f"<h2>{escape(title)}</h2><div class=row>")
        parts += [_figure(folder, each) for each in photographs]
        parts.append("</div>")
    path = folder / "index.html"
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _figure(folder: Path, seen: Seen) -> str:
    name = escape(seen.image.relative_to(folder).as_posix())
    found = "".join(f"<div class=bad>{escape(problem)}</div>" for problem in seen.problems)
    caption = f"{seen.scheme}, {seen.width} px"
    image = f'<a href="{name}"><img loading=lazy src="{name}" alt="{caption}"></a>'
    return f"<figure>{image}<figcaption>{caption}{found}</figcaption></figure>"
