"""Versions made from a version: filtered, mended, extended, or divided anew. Splits are inherited."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from apps.core import audit
from apps.core.access import require
from apps.core.engine.messages import Sentence
from apps.core.errors import ApplicationError, Conflict, NotFound, translated
from apps.core.formats import count_text
from apps.experiments import rows
from apps.experiments.engine import derive
from apps.experiments.engine.intake.answers import Wrong, check_of
from apps.experiments.engine.intake.problems import KINDS
from apps.experiments.engine.rows import DUPLICATE, OTHER_ANSWER, Assembled, Example, assemble_rows
from apps.experiments.engine.splits import splitter
from apps.experiments.engine.text import fold_spaces, normalise_input
from apps.experiments.models import Dataset, DatasetVersion
from apps.experiments.selectors import LEAST_TEST_ROWS
from apps.experiments.services.datasets import dataset_create, dataset_version_add
from apps.experiments.version_files import Written, rewritten, store

Operation = Literal["keep_text", "drop_text", "keep_labels", "one_of_alike", "leave_out", "fix", "add"]
# More rows than anybody types; a file is checked by a job, with its progress shown.
MOST_TYPED = 1000
NOT_VISIBLE = _lazy("There is no such row in train or validation. Test rows are not changed one by one.")
_NUMBERED = re.compile(r", test set \d+$")


@dataclass(frozen=True)
class _Plan:
    """How the tables of the parent change, which rows come after them, and what the version says of it."""

    change: Callable[[Any], Any] = lambda table: table
    added: tuple[Example, ...] = ()
    read: int = 0
    left_out: tuple[dict[str, Any], ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


def dataset_version_derive(
    *,
    actor: Any,
    version: DatasetVersion,
    operation: Operation,
    text: str = "",
    labels: Sequence[str] = (),
    ids: Sequence[str] = (),
    row_id: str = "",
    new_input: str = "",
    new_expected: str = "",
    pairs: Sequence[tuple[str, str]] = (),
) -> DatasetVersion:
    """The next version, made from `version` by one operation; each row keeps its split.

    keep_text and drop_text look for `text` in input and answer; keep_labels keeps the rows with one of `labels`;
    one_of_alike keeps the first of rows that are almost the same; leave_out takes the visible rows with `ids` away; fix
    gives the visible row `row_id` another input and answer; add appends `pairs`.
    Conflict when nothing would change or be left, ApplicationError when a row cannot be used.
    """
    with transaction.atomic():
        require(version, actor, "edit")
        Dataset.objects.select_for_update().get(pk=version.dataset_id)
        plans: dict[str, Callable[[], _Plan]] = {
            "keep_text": lambda: _text_plan(text, keep=True),
            "drop_text": lambda: _text_plan(text, keep=False),
            "keep_labels": lambda: _Plan(derive.with_labels(labels), facts={"labels": list(labels)}),
            "one_of_alike": lambda: _alike_plan(version),
            "leave_out": lambda: _leave_out_plan(version, ids),
            "fix": lambda: _fix_plan(version, row_id, new_input, new_expected),
            "add": lambda: _add_plan(version, pairs),
        }
        if operation not in plans:
            raise ApplicationError(_("There is no operation %(name)s.") % {"name": operation}, field="operation")
        plan = plans[operation]()
        added = _table(version, plan.added) if plan.added else None
        with rewritten(version, plan.change, added) as written:
            _require_change(version, written)
            existing = DatasetVersion.objects.filter(dataset=version.dataset, content_hash=written.content_hash).first()
            if existing is not None:
                return existing
            return dataset_version_add(
                actor=actor,
                dataset=version.dataset,
                verb="dataset_version.derived",
                **_values(version, version.dataset, written),
                facts=_facts(version, written, plan, {"operation": operation, **plan.facts}),
            )


def dataset_fresh_test(*, actor: Any, version: DatasetVersion) -> DatasetVersion:
    """The same rows divided anew as the first version of a new dataset, none of whose test rows was one before.

    A group that was ever in a test split gets a number behind its key, the smallest that keeps it out of the new
    test: the split stays a function of seed and group. Conflict when fewer than 50 test rows would result.
    """
    with transaction.atomic():
        require(version, actor, "edit")
        old = Dataset.objects.select_for_update().get(pk=version.dataset_id)
        seen = _groups_ever_tested(old)
        dataset = dataset_create(
            actor=actor,
            team=old.team,
            name=_free_name(old),
            split_seed=_next_seed(old),
            validation_percent=old.validation_percent,
            test_percent=old.test_percent,
            description=old.description,
            source=old.source,
            licence=old.licence,
        )
        place = splitter(seed=dataset.split_seed, probabilities=dataset.probabilities)

        def was_tested(key: str) -> bool:
            return key in seen or derive.SALT in key

        with rewritten(version, derive.with_split(was_tested, place)) as written:
            count = written.counts()["test_count"]
            if count < LEAST_TEST_ROWS:
                raise Conflict(
                    _(
                        "A fresh test set would have %(count)s rows; %(least)s are needed for a comparison to show"
                        " anything. %(free)s of %(rows)s rows were never in a test set. Add rows first."
                    )
                    % {"count": count, "least": LEAST_TEST_ROWS, "free": _free_rows(version, was_tested),
                       "rows": version.row_count},
                    code="too_few_rows",
                )  # fmt: skip
            made = dataset_version_add(
                actor=actor,
                dataset=dataset,
                **_values(version, dataset, written),
                facts=_facts(version, written, _Plan(), {"operation": "fresh_test", "of": str(version)}),
            )
        audit.record(actor=actor, verb="dataset.test_set_drawn", target=dataset, name=dataset.name, of=old.name)
    return made


def _values(version: DatasetVersion, dataset: Dataset, written: Written) -> dict[str, Any]:
    return {
        "content_hash": written.content_hash,
        "artifact": store(dataset, written),
        **written.counts(),
        "answer": version.answer,
        "columns": version.columns,
        "parent": version,
    }


def _facts(version: DatasetVersion, written: Written, plan: _Plan, derived: dict[str, Any]) -> dict[str, Any]:
    known = {name: written.known[name] for name in ("labels", "lengths", "personal")}
    reasons = [row["reason"] for row in plan.left_out]
    return {
        **known,
        "derived": {**derived, "from": version.number, "rows_before": version.row_count},
        "rows_read": version.row_count + plan.read,
        "left_out": list(plan.left_out),
        "left_out_counts": {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
    }


def _require_change(version: DatasetVersion, written: Written) -> None:
    if not written.known["accepted"]:
        raise Conflict(_("No row would be left."), code="empty_dataset")
    if written.content_hash == version.content_hash:
        raise Conflict(_("This would change no row."), code="no_change")


def _table(version: DatasetVersion, added: Sequence[Example]) -> Any:
    with rows.open_file(version) as file:
        return derive.table_of(added, file.schema_arrow.names)


def _text_plan(text: str, *, keep: bool) -> _Plan:
    if not text.strip():
        raise ApplicationError(_("Say which text to look for."), field="text")
    return _Plan(derive.with_text(text, keep=keep), facts={"text": text[:200]})


def _alike_plan(version: DatasetVersion) -> _Plan:
    again = rows.rows_alike(version)
    if not again:
        raise ApplicationError(_("No two rows are almost the same, so nothing would change."), code="no_change")
    return _Plan(derive.without_ids(again), facts={"rows": len(again)})


def _leave_out_plan(version: DatasetVersion, ids: Sequence[str]) -> _Plan:
    if not ids:
        raise ApplicationError(_("Say which rows to leave out."), field="ids")
    if len(rows.rows_by_ids(version, ids)) < len(set(ids)):
        raise NotFound(str(NOT_VISIBLE))
    return _Plan(derive.without_ids(ids), facts={"rows": len(set(ids))})


def _fix_plan(version: DatasetVersion, row_id: str, new_input: str, new_expected: str) -> _Plan:
    """The mended row stays in its split. One that is now almost the same as a row of another split is refused."""
    row = _visible_row(version, row_id)
    _require_answer(version, new_expected)
    near = rows.rows_near(version, [new_input])
    made = _assembled(version, [(new_input, new_expected)], near)
    if made.left_out:
        raise ApplicationError(_("The row cannot be used: %(reason)s.") % {"reason": _(made.left_out[0].reason)})
    new = made.examples[0]
    for other in near.here:
        if other.id != row.id and normalise_input(other.input) == normalise_input(new_input):
            raise ApplicationError(_("Another row has this input already."), field="input")
    joined = new.group_key in {each.group_key for each in near.earlier}
    if joined and new.split != row.split:
        raise ApplicationError(
            _("The new input is almost the same as a row of another split, so the row would have to move there."),
            field="input",
        )
    key = new.group_key if joined else row.group_key
    mended = Example(new.id, new_input, new_expected, key, row.split, row.columns)
    return _Plan(derive.with_replaced(row.id, mended), facts={"row": row.id, "mended": mended.id})


def _add_plan(version: DatasetVersion, pairs: Sequence[tuple[str, str]]) -> _Plan:
    if not pairs:
        raise ApplicationError(_("Give at least one row to add."), field="pairs")
    if len(pairs) > MOST_TYPED:
        raise ApplicationError(
            _("At most %(most)s rows can be added here; these are %(count)s. Upload them as a file.")
            % {"most": count_text(MOST_TYPED), "count": count_text(len(pairs))},
            field="pairs",
        )
    for number, (_text, expected) in enumerate(pairs, start=1):
        _require_answer(version, expected, number)
    near = rows.rows_near(version, [text for text, _expected in pairs])
    made = _assembled(version, pairs, near)
    there = {normalise_input(row.input): row.expected for row in near.here}
    new: list[Example] = []
    known: list[Example] = []
    for row in made.examples:
        (known if normalise_input(row.input) in there else new).append(row)
    place = {text: number for number, (text, _expected) in reversed(list(enumerate(pairs, start=1)))}
    left_out: list[dict[str, Any]] = [{"row": row.row, "reason": row.reason, "input": ""} for row in made.left_out]
    for row in known:
        same = fold_spaces(there[normalise_input(row.input)]) == fold_spaces(row.expected)
        left_out.append({"row": place[row.input], "reason": DUPLICATE if same else OTHER_ANSWER, "input": ""})
    left_out.sort(key=lambda found: found["row"])
    return _Plan(added=tuple(new), read=len(pairs), left_out=tuple(left_out), facts={"added": len(new)})


def _assembled(version: DatasetVersion, pairs: Sequence[tuple[str, str]], near: rows.Near) -> Assembled:
    """New rows with the groups and splits that the dataset's earlier rows leave them."""
    columns = dict.fromkeys(version.columns, "")
    numbered = [(number, text, expected, columns) for number, (text, expected) in enumerate(pairs, start=1)]
    dataset = version.dataset
    return assemble_rows(numbered, seed=dataset.split_seed, probabilities=dataset.probabilities, earlier=near.earlier)


def _visible_row(version: DatasetVersion, id_: str) -> Example:
    row = rows.row_by_id(version, id_)
    if row is None:
        raise NotFound(str(NOT_VISIBLE))
    return row


def _require_answer(version: DatasetVersion, expected: str, number: int = 0) -> None:
    """ApplicationError unless the answer is one of the version's format."""
    check = check_of(version.answer) if version.answer else None
    found = check(expected) if check and expected.strip() else expected
    wrong = found if isinstance(found, Wrong) else None
    if wrong is None and found != expected:
        wrong = Wrong("label_spelling", {"answer": expected})
    if wrong is not None:
        said = translated(Sentence(KINDS[wrong.code].sentence, **wrong.params))
        raise ApplicationError(_("Row %(row)s: %(said)s") % {"row": number, "said": said} if number else said)


def _groups_ever_tested(dataset: Dataset) -> set[str]:
    """Groups in a test split of the dataset, or of one whose test set was drawn from it."""
    drawn = Dataset.objects.filter(versions__parent__dataset=dataset).exclude(pk=dataset.pk)
    versions = DatasetVersion.objects.filter(Q(dataset=dataset) | Q(dataset__in=drawn)).order_by("id")
    return {row.group_key for version in versions for row in rows.reader(version).examples(split="test")}


def _free_rows(version: DatasetVersion, was_tested: Callable[[str], bool]) -> int:
    return sum(not was_tested(row.group_key) for row in rows.reader(version).examples())


def _free_name(dataset: Dataset) -> str:
    base = _NUMBERED.sub("", dataset.name)[:140]
    taken = set(Dataset.objects.filter(team=dataset.team).values_list("name", flat=True))
    number = 2
    while f"{base}, test set {number}" in taken:
        number += 1
    return f"{base}, test set {number}"


def _next_seed(dataset: Dataset) -> int:
    """A seed that no test set drawn from the dataset has had, and that anybody can find again."""
    drawn = Dataset.objects.filter(versions__parent__dataset=dataset).exclude(pk=dataset.pk)
    used = [dataset.split_seed, *drawn.values_list("split_seed", flat=True)]
    return (max(used) + 1) % 2**63
