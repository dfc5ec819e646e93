"""A run directory read into memory: spec, tokenizer, rows as text and as ids; what cannot be learned is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from apps.providers.engine.chat import ChatError, ChatTokenizer
from apps.training.engine.data import EncodedRow, Row, check_ids, encode_rows, epoch_groups, read_rows
from apps.training.engine.errors import TrainingError
from apps.training.engine.spec import TrainingSpec, read_spec, resolve

_DEFAULT_SAMPLES = 3


@dataclass(frozen=True, slots=True)
class Job:
    """All that a run needs to know. ``samples`` are the validation rows answered while training."""

    spec: TrainingSpec
    run_dir: Path
    base: Path
    tokenizer: ChatTokenizer
    train: list[EncodedRow]
    validation: list[EncodedRow]
    samples: list[Row]
    encoded_samples: list[EncodedRow]

    @property
    def base_name(self) -> str:
        return self.spec.base_name or self.base.name

    @property
    def checkpoints(self) -> Path:
        return self.run_dir / "checkpoints"

    def groups(self, epoch: int) -> list[list[int]]:
        """Row numbers behind each optimizer step of an epoch."""
        return epoch_groups(
            [len(row.ids) for row in self.train],
            seed=self.spec.seed,
            epoch=epoch,
            rows_per_step=self.spec.rows_per_step,
            sort_window=self.spec.sort_window,
        )

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.train) // self.spec.rows_per_step)

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.spec.epochs


def load_job(run_dir: Path) -> Job:
    """Read and check a run directory. Raises TrainingError for whatever training could not do right."""
    spec = read_spec(run_dir / "spec.json")
    base = resolve(run_dir, spec.base_model)
    try:
        tokenizer = ChatTokenizer.load(base)
    except ChatError as error:
        raise TrainingError("model", error.sentence) from error
    train = read_rows(resolve(run_dir, spec.train_rows), what="training")
    validation = read_rows(resolve(run_dir, spec.validation_rows), what="validation")
    check_ids(train, validation, spec.sample_ids)
    sample_ids = spec.sample_ids or tuple(row.id for row in validation[:_DEFAULT_SAMPLES])
    encoded_train = encode_rows(train, tokenizer, max_length=spec.max_length, what="training")
    encoded_validation = encode_rows(validation, tokenizer, max_length=spec.max_length, what="validation")
    by_id = {row.id: number for number, row in enumerate(validation)}
    return Job(
        spec=spec,
        run_dir=run_dir,
        base=base,
        tokenizer=tokenizer,
        train=encoded_train,
        validation=encoded_validation,
        samples=[validation[by_id[row_id]] for row_id in sample_ids],
        encoded_samples=[encoded_validation[by_id[row_id]] for row_id in sample_ids],
    )
