"""The filter before the near-duplicate search loses none, and few other rows come through it."""

import random
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.experiments import rows
from apps.experiments.engine import near_duplicates
from apps.experiments.engine.near_duplicates import THRESHOLD, jaccard, shingles
from apps.experiments.engine.near_filter import NearFilter
from apps.experiments.engine.rows import to_parquet
from apps.experiments.engine.text import normalise_input
from apps.experiments.services.derived_versions import dataset_version_derive
from apps.experiments.tests.world import version_of

WORDS = ("where", "is", "my", "parcel", "refund", "étage", "never", "came", "日本語", "order", "42", "aaaa", "late")


def texts(draw: random.Random, count: int) -> list[str]:
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(count)]


def edited(draw: random.Random, text: str) -> str:
    """The text with up to three letters taken out, put in or doubled."""
    for _ in range(draw.randint(0, 3)):
        place = draw.randint(0, len(text))
        text = draw.choice((text[:place] + text[place + 1 :], f"{text[:place]}x{text[place:]}", text + text[-3:]))
    return normalise_input(text)


@pytest.mark.parametrize("seed", range(8))
def test_no_near_duplicate_is_missed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    monkeypatch.setattr(near_duplicates, "_SHINGLES_AT_ONCE", draw.choice([1, 200, 1 << 15]))
    new = [*map(normalise_input, texts(draw, 6)), "a", "日"]
    known = [*map(normalise_input, texts(draw, 300)), *(edited(draw, text) for text in new * 20 if text), "aa", "a"]
    known = [text for text in known if text]

    through = set(NearFilter(new).among(known))

    alike = {
        place
        for place, text in enumerate(known)
        if any(jaccard(shingles(text), shingles(other)) >= THRESHOLD for other in new)
    }
    assert alike
    assert alike <= through


def test_few_others_come_through() -> None:
    draw = random.Random(5)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(2000)]
    known = [" ".join(draw.choices(words, k=30)) for _ in range(2000)]
    assert list(NearFilter([f"{known[7]}!", "something quite different from all of it"]).among(known)) == [7]
    assert list(NearFilter([]).among(known)) == []


@pytest.mark.django_db
def test_what_is_made_of_a_version_was_recorded_of_it(team: Team, bob: User, artifact_folder: Any) -> None:
    """Rows that somebody moved in the file itself never become a version."""
    version = version_of(team, bob)
    path = artifact_folder / version.artifact
    moved = [
        row if row.split != "test" else type(row)(row.id, row.input, row.expected, row.group_key, "train")
        for row in rows._all(version)
    ]
    path.chmod(0o644)
    path.write_bytes(to_parquet(moved))
    rows._is_what_was_recorded.cache_clear()
    for how in ({"operation": "keep_text", "text": "elm"}, {"operation": "add", "pairs": [("new one", "{}")]}):
        with pytest.raises(ValueError, match="does not hold what its dataset version recorded"):
            dataset_version_derive(actor=bob, version=version, **how)
    assert version.dataset.versions.count() == 1
