"""Free baselines: answers that need no model, fitted on training rows and stored as plain JSON.

A row is (input, expected answer). Every artefact is a dictionary of JSON values with a `kind`, so it can be hashed,
stored and read without pickle.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from apps.providers.engine.label_regression import Artefact, Row, fit_label_regression, label_predictor

__all__ = ["Artefact", "Row"]

MOST_FREQUENT = "most_frequent"
NEAREST = "nearest"
TOKEN_LOOKUP = "token_lookup"  # noqa: S105 - the name of a baseline, not a secret

TFIDF_LOGISTIC = "tfidf_logistic"
FIRST_SENTENCE = "first_sentence"

_OF_EVERY_FORMAT = (MOST_FREQUENT, NEAREST)
_OF_FORMAT = {
    "json": (*_OF_EVERY_FORMAT, TOKEN_LOOKUP),
    "label": (*_OF_EVERY_FORMAT, TFIDF_LOGISTIC),
    "text": (*_OF_EVERY_FORMAT, FIRST_SENTENCE),
    "number": _OF_EVERY_FORMAT,
}
# A sentence ends at such a mark before a space, at a full-width one anywhere, or with its line.
_SENTENCE = re.compile(r".+?(?:[.!?\u2026]+(?=\s)|[\u3002\uff01\uff1f]|$)", re.MULTILINE)

_LEFT_OUT = ""
_VERSION = 1


def baselines_for(answer: Mapping[str, object]) -> tuple[str, ...]:
    """The methods that can be fitted to what an answer is, in the form of `DatasetVersion.answer`. Empty: JSON.

    Raises ValueError for an unknown format.
    """
    format_ = str(answer.get("format", "json"))
    if format_ not in _OF_FORMAT:
        raise ValueError(f"an answer is one of {', '.join(_OF_FORMAT)}, not {format_!r}")
    return _OF_FORMAT[format_]


def fit(method: str, rows: Sequence[Row], answer: Mapping[str, object]) -> Artefact:
    """The artefact of a method for these training rows. Raises ValueError for a method that is not for the answer."""
    if method not in baselines_for(answer):
        raise ValueError(f"{method!r} is no baseline for an answer of the format {answer.get('format', 'json')!r}")
    if method == TOKEN_LOOKUP:
        fields = answer.get("fields", [])
        return fit_token_lookup(rows, [str(field) for field in fields] if isinstance(fields, Sequence) else [])
    fitters: dict[str, Callable[[Sequence[Row]], Artefact]] = {
        MOST_FREQUENT: fit_most_frequent,
        NEAREST: fit_nearest,
        TFIDF_LOGISTIC: fit_tfidf_logistic,
        FIRST_SENTENCE: fit_first_sentence,
    }
    return fitters[method](rows)


def fit_most_frequent(rows: Sequence[Row]) -> Artefact:
    """The answer that occurs most often in training; among equals the one that occurs first."""
    answer, _ = Counter(answer for _, answer in _required(rows)).most_common(1)[0]
    return {"kind": MOST_FREQUENT, "version": _VERSION, "answer": answer}


def fit_nearest(rows: Sequence[Row]) -> Artefact:
    """The training rows themselves; an input gets the answer of the nearest one.

    Near is the Jaccard similarity of the sets of character trigrams, case and spacing folded. Among equally
    near rows the earliest in training order wins.
    """
    return {"kind": NEAREST, "version": _VERSION, "rows": [[text, answer] for text, answer in _required(rows)]}


def fit_token_lookup(rows: Sequence[Row], fields: Sequence[str]) -> Artefact:
    """Each word goes to the field that it most often had in training.

    A word with a digit is looked up by its shape (digits as 9, letters as a); a word never seen goes to the
    field that words without digits most often had. Words in no field of an answer are learned as left out.
    Among equally frequent fields the first in `fields` wins, *left out* last. Raises ValueError if an answer
    has a field that is not in `fields`.
    """
    by_key: dict[str, Counter[str]] = defaultdict(Counter)
    without_digits: Counter[str] = Counter()
    for text, answer in _required(rows):
        for word, field in _labelled_words(text, answer, fields):
            by_key[_lookup_key(word)][field] += 1
            if not _has_digit(word):
                without_digits[field] += 1
    return {
        "kind": TOKEN_LOOKUP,
        "version": _VERSION,
        "fields": list(fields),
        "lookup": {key: _most_frequent_field(counts, fields) for key, counts in sorted(by_key.items())},
        "default": _most_frequent_field(without_digits, fields),
    }


def fit_tfidf_logistic(rows: Sequence[Row]) -> Artefact:
    """Logistic regression over TF-IDF of words and pairs of words: the label with the highest score."""
    return {"kind": TFIDF_LOGISTIC, "version": _VERSION, **fit_label_regression(_required(rows))}


def fit_first_sentence(rows: Sequence[Row]) -> Artefact:
    """The first sentence of the input itself, or its first line; nothing is learned from the rows."""
    return {"kind": FIRST_SENTENCE, "version": _VERSION}


def predictor(artefact: Artefact) -> Callable[[str], str]:
    """A function input → answer, with everything that all inputs share prepared once."""
    makers: dict[str, Callable[[Artefact], Callable[[str], str]]] = {
        MOST_FREQUENT: _most_frequent_predictor,
        NEAREST: _nearest_predictor,
        TOKEN_LOOKUP: _lookup_predictor,
        TFIDF_LOGISTIC: label_predictor,
        FIRST_SENTENCE: lambda artefact: first_sentence,
    }
    kind = artefact.get("kind")
    if not isinstance(kind, str) or kind not in makers or artefact.get("version") != _VERSION:
        raise ValueError(f"not a baseline of version {_VERSION}: kind {kind!r}, version {artefact.get('version')!r}")
    return makers[kind](artefact)


def predict(artefact: Artefact, input_text: str) -> str:
    """The baseline's answer to one input. For many inputs take `predictor(artefact)` once."""
    return predictor(artefact)(input_text)


def first_sentence(text: str) -> str:
    """Up to the first full stop, question or exclamation mark that a space follows, else the first line with text.

    An abbreviation with a full stop ends a sentence too: a baseline is simple.
    """
    found = _SENTENCE.search(text.strip())
    return found.group().strip() if found else ""


def _required(rows: Sequence[Row]) -> Sequence[Row]:
    if not rows:
        raise ValueError("a baseline needs at least one training row")
    return rows


def _most_frequent_predictor(artefact: Artefact) -> Callable[[str], str]:
    answer = str(artefact["answer"])
    return lambda input_text: answer


def _nearest_predictor(artefact: Artefact) -> Callable[[str], str]:
    rows = artefact["rows"]
    if not isinstance(rows, list):
        raise ValueError("the artefact of the nearest training example has no rows")
    prepared: list[tuple[frozenset[str], str]] = [(_trigrams(text), answer) for text, answer in rows]

    def nearest(input_text: str) -> str:
        wanted = _trigrams(input_text)
        # max() keeps the first of equals, which is the tie rule.
        return max(prepared, key=lambda row: _jaccard(wanted, row[0]))[1]

    return nearest


def _lookup_predictor(artefact: Artefact) -> Callable[[str], str]:
    fields, lookup, default = artefact["fields"], artefact["lookup"], str(artefact["default"])
    if not isinstance(fields, list) or not isinstance(lookup, dict):
        raise ValueError("the artefact of the token lookup has no fields or no table")

    def look_up(input_text: str) -> str:
        words: dict[str, list[str]] = {field: [] for field in fields}
        for word in input_text.split():
            field = lookup.get(_lookup_key(word), default)
            if field != _LEFT_OUT:
                words[field].append(word)
        values = {field: " ".join(found).rstrip(", ") for field, found in words.items()}
        return _compact({field: value for field, value in values.items() if value})

    return look_up


def _labelled_words(text: str, answer: str, fields: Sequence[str]) -> list[tuple[str, str]]:
    """Each word of the answer with its field, and the words of the input that no field has, as left out."""
    labelled: list[tuple[str, str]] = []
    for field, value in json.loads(answer).items():
        if field not in fields:
            raise ValueError(f"the answer {answer[:80]!r} has a field {field!r} that is not among {list(fields)}")
        labelled.extend((word, field) for word in str(value).split())
    in_answer = Counter(_word_key(word) for word, _ in labelled)
    for word in text.split():
        key = _word_key(word)
        if in_answer[key] > 0:
            in_answer[key] -= 1
        else:
            labelled.append((word, _LEFT_OUT))
    return labelled


def _most_frequent_field(counts: Counter[str], fields: Sequence[str]) -> str:
    return max([*fields, _LEFT_OUT], key=lambda field: counts[field])


def _word_key(word: str) -> str:
    return word.strip(",;").casefold()


def _lookup_key(word: str) -> str:
    key = _word_key(word)
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", key)) if _has_digit(key) else key


def _has_digit(word: str) -> bool:
    return any(char.isdigit() for char in word)


def _trigrams(text: str) -> frozenset[str]:
    folded = f"  {' '.join(text.casefold().split())} "
    return frozenset(folded[start : start + 3] for start in range(len(folded) - 2))


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    shared = len(left & right)
    union = len(left) + len(right) - shared
    return shared / union if union else 1.0


def _compact(answer: dict[str, str]) -> str:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
