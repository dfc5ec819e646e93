"""What the preflight predicts of a training run, against what the run then took.

Rows of the demo data with the numbers of the preset quick (LoRA, rank 8 in the upper half of the layers, one epoch),
or of full fine-tuning. The preflight times real steps in a process of its own; then the whole run is made: train,
merge, convert, certify. Good is a ratio between 0.75 and 1.25.
"""

import json
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import figures, machine, models
from benchmarks.figures import Pair

ROWS, VALIDATION = 120, 48


def main() -> None:
    parser = figures.options(__doc__)
    parser.set_defaults(repeats=1)
    parser.add_argument("--rows", type=int, default=ROWS, help="training rows; fewer for a quick look")
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--layers", choices=("upper-half", "all"), default="upper-half", help="of the adapter")
    given = parser.parse_args()
    base = models.MODELS / models.NAME / "hf"
    models.require(base, models.ADDRESSES)

    def measure() -> Pair:
        with tempfile.TemporaryDirectory(prefix="llmopt-bench-") as folder:
            _write_run(Path(folder), base, given.rows, given.method, given.layers)
            return _predicted_and_took(Path(folder))

    figures.show(
        f"preflight, {given.rows} rows, {_what(given.method, given.layers)}", figures.repeated(measure, given.repeats),
        unit="s", ours="predicted (middle of the range)", peer="took",
    )  # fmt: skip


def _what(method: str, layers: str) -> str:
    return f"LoRA, layers: {layers}" if method == "lora" else "full"


def _predicted_and_took(folder: Path) -> Pair:
    _engine("apps.training.engine.measure", folder, "--available-mib", "100000")
    measured = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
    wall = figures.seconds_of(lambda: _engine("apps.training.engine", folder))
    summary = json.loads((folder / "result" / "summary.json").read_text(encoding="utf-8"))
    took = summary["phase_seconds"]
    memory = f"memory {measured['memory_mib']:,} MiB with its margin, took {summary['peak_memory_mib']:,} MiB"
    print(f"  range {measured['seconds_low']:.0f}–{measured['seconds_high']:.0f} s; {memory}")
    print(f"  predicted by part: {_parts(measured['seconds'])}; took by phase: {_parts(took)}; the process {wall:.0f}")
    print(f"  timed steps: {_steps(measured['steps'])}; memory seen by phase: {_memory(folder)}")
    return Pair((measured["seconds_low"] + measured["seconds_high"]) / 2, sum(took.values()))


def _parts(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())


def _steps(steps: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{step['size']['cells']} positions {step['seconds']:.2f} s {step['peak_mib']:.0f} MiB" for step in steps
    )


def _memory(folder: Path) -> str:
    """The most resident memory that was reported in each phase of the run and, as `preflight`, of the check."""
    most: dict[str, int] = {}
    for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["type"] == "progress":
            most[event["phase"]] = max(most.get(event["phase"], 0), event["memory_mib"])
    return ", ".join(f"{phase} {mib:,} MiB" for phase, mib in most.items())


def _engine(module: str, folder: Path, *options: str) -> None:
    subprocess.run([sys.executable, "-m", module, str(folder), *options], cwd=machine.ROOT, check=True)


def _write_run(folder: Path, base: Path, rows: int, method: str, layers: str) -> None:
    """A run directory with the first rows of the demo data."""
    from apps.workspace.engine.addresses import read_labelled

    lines = []
    for number, (text, answer) in enumerate(islice(read_labelled(models.ADDRESSES), rows + VALIDATION)):
        messages = [{"role": "system", "content": "US address to JSON."}, {"role": "user", "content": text}]
        lines.append(json.dumps({"id": f"row{number}", "messages": messages, "answer": answer}) + "\n")
    (folder / "train.jsonl").write_text("".join(lines[:rows]), encoding="utf-8")
    (folder / "validation.jsonl").write_text("".join(lines[rows:]), encoding="utf-8")
    (folder / "spec.json").write_text(json.dumps(_spec(base, method, layers)), encoding="utf-8")


def _spec(base: Path, method: str, layers: str) -> dict[str, Any]:
    """As the presets quick (upper half) and balanced (all layers) write it, apart from the rank."""
    return {
        "base_model": str(base), "method": method, "epochs": 1, "learning_rate": 1e-3 if method == "lora" else 1e-4,
        "lora": {"r": 8, "alpha": 16, "layers": layers}, "batch_size": 4, "accumulation": 2, "max_length": 512,
        "precision": "float32", "seed": 1, "threads": machine.cores(), "evaluate_every_seconds": 120,
        "evaluate_rows": 32, "final_evaluate_rows": VALIDATION, "sample_every_seconds": 52, "max_new_tokens": 48,
        "certify_rows": 4,
    }  # fmt: skip


if __name__ == "__main__":
    main()
