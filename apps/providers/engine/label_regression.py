"""TF-IDF and multinomial logistic regression as a baseline for labels: fitted with scikit-learn, used without it."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

Row = tuple[str, str]
Artefact = dict[str, object]

SEED = 20261124
_WORD = r"(?u)\b\w+\b"
_MAX_ITERATIONS = 1_000
_MAX_TERMS = 20_000
# Of all labels together, so that an artefact stays a few megabytes.
_MAX_COEFFICIENTS = 500_000


def fit_label_regression(rows: Sequence[Row], *, seed: int = SEED) -> Artefact:
    """Vocabulary, idf, coefficients and intercepts as JSON values.

    Terms are words and pairs of neighbouring words in lower case, the most frequent ones where there are too many; idf
    is smoothed and rows have length 1 (scikit-learn's defaults). With one label in training there is nothing to fit
    and that label is the answer. Raises ValueError if no input has a word.
    """
    texts = [text for text, _ in rows]
    labels = [" ".join(answer.split()) for _, answer in rows]
    names = sorted(set(labels))
    if len(names) == 1:
        return {"labels": names, "seed": seed, "terms": [], "idf": [], "coefficients": [[]], "intercepts": [0.0]}
    if not any(re.search(_WORD, text) for text in texts):
        raise ValueError("no input of the training rows has a word, so no label can be learned from them")
    return _fitted(texts, labels, names, seed)


def label_predictor(artefact: Artefact) -> Callable[[str], str]:
    """The label with the highest score; among equals the first in the order of the artefact's labels."""
    import numpy as np

    labels, terms = artefact["labels"], artefact["terms"]
    if not isinstance(labels, list) or not isinstance(terms, list):
        raise ValueError("the artefact of the label regression has no labels or no terms")
    places = {term: place for place, term in enumerate(terms)}
    idf, coefficients = np.array(artefact["idf"]), np.array(artefact["coefficients"])
    intercepts = np.array(artefact["intercepts"])

    def predict(text: str) -> str:
        counts = Counter(place for term in _terms(text) if (place := places.get(term)) is not None)
        used = sorted(counts)
        weights = np.array([counts[place] for place in used], dtype=np.float64) * idf[used]
        length = np.sqrt(weights @ weights)
        scores = coefficients[:, used] @ (weights / length) + intercepts if used else intercepts
        return str(labels[int(np.argmax(scores))])

    return predict


def _fitted(texts: Sequence[str], labels: Sequence[str], names: Sequence[str], seed: int) -> Artefact:
    import sklearn
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    limit = min(_MAX_TERMS, max(1, _MAX_COEFFICIENTS // len(names)))
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=_WORD, max_features=limit)
    model = LogisticRegression(max_iter=_MAX_ITERATIONS, random_state=seed)
    model.fit(vectorizer.fit_transform(texts), labels)
    coefficients, intercepts = model.coef_.tolist(), model.intercept_.tolist()
    if len(names) == 2:
        # scikit-learn keeps the second label's row alone; the first one's score is 0 beside it.
        coefficients = [[0.0] * len(coefficients[0]), *coefficients]
        intercepts = [0.0, *intercepts]
    return {
        "labels": [str(name) for name in model.classes_],
        "seed": seed,
        "scikit_learn": sklearn.__version__,
        "iterations": int(max(model.n_iter_)),
        "converged": bool(max(model.n_iter_) < _MAX_ITERATIONS),
        "terms": [str(term) for term in vectorizer.get_feature_names_out()],
        "idf": vectorizer.idf_.tolist(),
        "coefficients": coefficients,
        "intercepts": intercepts,
    }


def _terms(text: str) -> list[str]:
    words = re.findall(_WORD, text.lower())
    return words + [f"{first} {second}" for first, second in zip(words, words[1:], strict=False)]
