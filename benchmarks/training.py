"""Trained tokens per second of the training engine, against transformers' Trainer on the same rows.

160 rows of the demo data, one epoch, the same LoRA adapter, float32, one thread per core, eight rows a step. A trained
token is one that carries a loss: the answer and its stop token. Both sides are timed over their steps alone, after some
that are not counted. Which rows stand in a batch is each side's own way: the engine sorts by length inside windows, the
Trainer draws at random. The two take turns in going first.
"""

import json
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import figures, machine, models
from benchmarks.figures import Pair

ROWS, BATCH, WARM_STEPS = 160, 8, 3


def main() -> None:
    parser = figures.options(__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="training rows; fewer for a quick look")
    given = parser.parse_args()
    base = models.MODELS / models.NAME / "hf"
    models.require(base, models.ADDRESSES)

    turns = figures.Turns()

    def measure() -> Pair:
        with tempfile.TemporaryDirectory(prefix="llmopt-bench-") as folder:
            _write_run(Path(folder), base, given.rows)
            return turns.pair(lambda: models.in_process(engine, folder), lambda: models.in_process(trainer, folder))

    figures.show(
        f"training, {given.rows} rows, batches of {BATCH}", figures.repeated(measure, given.repeats),
        unit="trained tokens per second", ours="engine", peer="transformers Trainer",
    )  # fmt: skip


def _write_run(folder: Path, base: Path, rows: int) -> None:
    """A run directory with the first rows of the demo data, and one row to validate on."""
    from apps.workspace.engine.addresses import read_labelled

    lines = []
    for number, (text, answer) in enumerate(islice(read_labelled(models.ADDRESSES), rows + 1)):
        messages = [{"role": "system", "content": "US address to JSON."}, {"role": "user", "content": text}]
        lines.append(json.dumps({"id": f"row{number}", "messages": messages, "answer": answer}) + "\n")
    (folder / "train.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")
    (folder / "validation.jsonl").write_text(lines[-1], encoding="utf-8")
    spec = {
        "base_model": str(base), "epochs": 1, "batch_size": BATCH, "max_length": 256, "precision": "float32", "seed": 1,
        "threads": machine.cores(), "evaluate_every_seconds": 3600, "evaluate_rows": 1, "final_evaluate_rows": 1,
        "max_new_tokens": 1, "checkpoint_every_seconds": 3600,
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")


def engine(folder: str) -> float:
    """The engine's own figure: its loop counts the tokens and the seconds of its steps."""
    import torch

    from apps.training.engine.events import EventLog
    from apps.training.engine.job import load_job
    from apps.training.engine.loop import train
    from apps.training.engine.report import Reporter

    torch.set_num_threads(machine.cores())
    log = EventLog(Path(folder) / "events.jsonl")
    report = Reporter(log, clock=time.monotonic)
    try:
        trained = train(load_job(Path(folder)), report, should_stop=lambda: None, clock=time.monotonic)
    finally:
        report.close()
        log.close()
    return trained.position.trained_tokens / trained.position.train_seconds


def trainer(folder: str) -> float:
    """Trained tokens over the seconds of the Trainer's steps, after a few steps that are not counted."""
    import torch
    from transformers import Trainer, TrainerCallback

    from apps.training.engine.job import load_job
    from apps.training.engine.model import load_trainable

    class Watch(TrainerCallback):
        """Seconds from the start of each step to its end."""

        started = seconds = 0.0

        def on_step_begin(self, *_args: Any, **_more: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *_args: Any, **_more: Any) -> None:
            self.seconds += time.perf_counter() - self.started

    torch.set_num_threads(machine.cores())
    job, watch = load_job(Path(folder)), Watch()
    rows = [
        {"ids": row.ids, "labels": [-100] * row.prompt_length + list(row.ids[row.prompt_length :])} for row in job.train
    ]
    both: dict[str, Any] = {
        "model": load_trainable(job.spec, job.base), "train_dataset": rows,
        "data_collator": partial(_padded, pad_id=job.tokenizer.pad_id),
    }  # fmt: skip
    Trainer(**both, args=_arguments(folder, job.spec.learning_rate, max_steps=WARM_STEPS)).train()
    Trainer(**both, args=_arguments(folder, job.spec.learning_rate), callbacks=[watch]).train()
    return sum(row.trained_tokens for row in job.train) / watch.seconds


def _arguments(folder: str, learning_rate: float, **more: Any) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(Path(folder) / "trainer"), num_train_epochs=1, per_device_train_batch_size=BATCH,
        learning_rate=learning_rate, use_cpu=True, seed=1, report_to=[], save_strategy="no",
        logging_strategy="no", disable_tqdm=True, remove_unused_columns=False, dataloader_pin_memory=False, **more,
    )  # fmt: skip


def _padded(batch: list[dict[str, Any]], *, pad_id: int) -> dict[str, Any]:
    """The rows of a batch as tensors of one length; padding carries no loss."""
    import torch

    length = max(len(row["ids"]) for row in batch)

    def padded(values: list[list[int]], filler: int) -> torch.Tensor:
        return torch.tensor([[*value, *[filler] * (length - len(value))] for value in values])

    return {
        "input_ids": padded([row["ids"] for row in batch], pad_id),
        "attention_mask": padded([[1] * len(row["ids"]) for row in batch], 0),
        "labels": padded([row["labels"] for row in batch], -100),
    }


if __name__ == "__main__":
    main()
