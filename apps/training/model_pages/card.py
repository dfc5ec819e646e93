"""README.md of a downloaded model: what it is, from what, how good it was, how it is opened. English, like files."""

import json
from typing import Any

from apps.billing.selectors import trained_prompt
from apps.evaluation.models import Leaderboard
from apps.experiments.models import Candidate, PromptVersion
from apps.providers.models import LanguageModel
from apps.training.models import ModelVersion

OPENING = {
    "adapter": """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("PATH OF THE BASE MODEL")
model = PeftModel.from_pretrained(base, "PATH OF THIS FOLDER")
tokenizer = AutoTokenizer.from_pretrained("PATH OF THIS FOLDER")""",
    "merged": """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("PATH OF THIS FOLDER")
tokenizer = AutoTokenizer.from_pretrained("PATH OF THIS FOLDER")""",
}


def model_card(model: LanguageModel, *, kind: str, version: ModelVersion | None, base: LanguageModel | None) -> str:
    """`kind` is `adapter` or `merged`; the words follow the Hugging Face hub's model cards."""
    facts = model.facts
    base_name = str(facts.get("base_model") or (base.name if base else "")) or "none"
    lines = [
        "---",
        f"base_model: {_quoted(base_name)}",
        f"library_name: {'peft' if kind == 'adapter' else 'transformers'}",
        f"license: {_quoted(_licence(model, base))}",
        "---",
        f"# {_one_line(model.name)}",
        "",
        f"- Form: {'PEFT adapter' if kind == 'adapter' else 'whole model, safetensors'}",
        f"- Base model: {_one_line(base_name)} (revision `{facts.get('base_revision', '-')}`)",
        f"- Revision: `{model.revision}`",
        f"- Licence of the base model: {_licence(model, base)}; the training data may carry terms of its own",
    ]
    if version is not None:
        data = version.run.dataset_version
        lines += [
            f"- Training data: {_one_line(str(data))}, content SHA-256 `{data.content_hash}`, "
            f"split seed {data.dataset.split_seed}, licence: {data.dataset.licence or 'not stated'}",
            f"- Registered as version {version.number}, digest `{version.digest}`",
        ]
    prompt = trained_prompt(model)
    return "\n".join(
        [
            *lines,
            "",
            *_prompt_lines(prompt),
            *_metric_lines(model),
            "## Open it",
            "",
            "```python",
            OPENING[kind],
            "```",
            "",
        ]
    )


def _licence(model: LanguageModel, base: LanguageModel | None) -> str:
    for one in (model, base):
        licence = one.facts.get("source", {}).get("licence") if one is not None else None
        if licence:
            return str(licence).lower()
    return "apache-2.0" if base is not None and "smollm2" in base.served_name else "other"


def _prompt_lines(prompt: PromptVersion | None) -> list[str]:
    if prompt is None:
        return []
    lines = ["## Prompt", "", f"{_one_line(str(prompt))}. Trained and served with these messages:", ""]
    for message in prompt.messages:
        lines += [f"`{message['role']}`", "", *(f"    {line}" for line in message["content"].splitlines()), ""]
    return lines


def _metric_lines(model: LanguageModel) -> list[str]:
    """What its experiments found on their test sets, each figure with its interval and n."""
    lines = []
    for candidate in Candidate.objects.filter(language_model=model).select_related("experiment").order_by("pk"):
        board = Leaderboard.objects.filter(experiment=candidate.experiment).first()
        found = next((row for row in _rows(board) if row.get("name") == candidate.name), None)
        for name, figure in (found or {}).get("metrics", {}).items():
            if figure and figure.get("value") is not None:
                lines.append(
                    f"| {_cell(candidate.experiment.name)} | {name} | {figure['value']:.3f} "
                    f"| {_number(figure.get('low'))} to {_number(figure.get('high'))} | {figure.get('n')} |"
                )
    if not lines:
        return ["## Measured", "", "No experiment has measured this model yet.", ""]
    return ["## Measured", "", "| experiment | metric | value | interval | n |", "|---|---|---|---|---|", *lines, ""]


def _rows(board: Leaderboard | None) -> list[dict[str, Any]]:
    return list(board.document.get("candidates", [])) if board is not None else []


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "/")


def _quoted(text: str) -> str:
    return json.dumps(_one_line(text), ensure_ascii=False)
