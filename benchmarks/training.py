"""Trained tokens per second of the engine, against transformers' Trainer on the same rows with the same batch.

160 rows of the demo data, one epoch, the same LoRA adapter, float32, one thread per core. A trained token is one that
carries a loss: the answer and its stop token. Loading, validation and sample answers are outside the measurement.
"""

import json
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import figures, machine, models
from benchmarks.figures import Pair

ROWS, BATCH = 160, 8


def main() -> None:
    parser = figures.options(__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="training rows; fewer for a quick look")
    given = parser.parse_args()
    base = models.MODELS / models.NAME / "hf"
    models.require(base, models.ADDRESSES)

    def measure() -> Pair:
        with tempfile.TemporaryDirectory(prefix="llmopt-bench-") as folder:
            _write_run(Path(folder), base, given.rows)
            return Pair(models.in_process(engine, folder), models.in_process(trainer, folder))

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
    """Trained tokens over the runtime that the Trainer reports."""
    import torch
    from transformers import Trainer, TrainingArguments

    from apps.training.engine.job import load_job
    from apps.training.engine.model import load_trainable

    torch.set_num_threads(machine.cores())
    job = load_job(Path(folder))
    arguments = TrainingArguments(
        output_dir=str(Path(folder) / "trainer"), num_train_epochs=1, per_device_train_batch_size=BATCH,
        learning_rate=job.spec.learning_rate, use_cpu=True, seed=1, report_to=[], save_strategy="no",
        logging_strategy="no", disable_tqdm=True, remove_unused_columns=False, dataloader_pin_memory=False,
    )  # fmt: skip
    rows = [
        {"ids": row.ids, "labels": [-100] * row.prompt_length + list(row.ids[row.prompt_length :])} for row in job.train
    ]

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        length = max(len(row["ids"]) for row in batch)

        def padded(values: list[list[int]], filler: int) -> torch.Tensor:
            return torch.tensor([[*value, *[filler] * (length - len(value))] for value in values])

        return {
            "input_ids": padded([row["ids"] for row in batch], job.tokenizer.pad_id),
            "attention_mask": padded([[1] * len(row["ids"]) for row in batch], 0),
            "labels": padded([row["labels"] for row in batch], -100),
        }

    model = load_trainable(job.spec, job.base)
    done = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate).train()
    return sum(row.trained_tokens for row in job.train) / float(done.metrics["train_runtime"])


if __name__ == "__main__":
    main()
