"""A quickstart that takes a minute: a random model of a few hundred kB and made-up addresses.

Its figures mean nothing; that every process, table and file takes part in it is the point.
"""

import random
import shutil
from pathlib import Path

from apps.training.engine.export import convert_to_ct2
from apps.training.tests.tiny_models import build_model

SERVED_NAME = "tiny-random"
ROWS = 96

DEFINITION = """
[dataset]
name = "Made-up addresses"
description = "Generated with a seed, for tests."
source = "scripts/kill_lib/small.py"
licence = "Apache-2.0"
file = "made-up.xml"
split_seed = 1
second_split_seed = 2

[experiment]
name = "A small quickstart"
question = "Does every part work together?"
metrics = ["field_f1", "exact_match", "valid_rate"]
primary_metric = "field_f1"
margin = 0.05
alpha = 0.05
bootstrap_seed = 5
order_seed = 7

[model]
name = "Tiny random model"
served_name = "tiny-random"
context_length = 1024
note = "Random weights: for tests alone."

[generation]
max_tokens = 12
temperature = 0.0

[prompts.plain]
system = "Split the address into fields."
user = "{{ input }}"

[prompts.few_shot]
system = "Split the address."
user = "{{ input }}"
k = 2
draw_seeds = [1, 2, 3]
sample = 5

[prompts.tuned]
user = "{{ input }}"

[training]
method = "lora"
learning_rate = 1e-3
epochs = 2
batch_size = 4
max_length = 400
seed = 1
threads = 1
precision = "float32"
checkpoint_every_seconds = 0
checkpoint_every_steps = 4
max_new_tokens = 8
certify_rows = 2

[training.lora]
r = 4
alpha = 8
dropout = 0.1
"""

_STREETS = ("Elm", "Oak", "Lake", "Hill", "Mill", "Park", "Pine", "River", "Sunset", "Walnut", "Juniper", "Quarry")
_KINDS = ("Street", "Avenue", "Road", "Lane", "Drive")
_CITIES = ("Springfield", "Dayton", "Salem", "Fargo", "Tulsa", "Boise", "Macon", "Waco")
_STATES = ("IL", "OH", "OR", "ND", "OK", "ID", "GA", "TX")


def write_small(var_dir: Path) -> Path:
    """Put model, data and definition into `var_dir`. Returns the definition's path."""
    model = var_dir / "artifacts" / "models" / SERVED_NAME
    if not model.exists():
        building = model.with_name(".building")
        shutil.rmtree(building, ignore_errors=True)
        build_model(building / "hf", "llama", positions=1024)
        problem = convert_to_ct2(building / "hf", building / "ct2")
        if problem is not None:
            raise RuntimeError(f"the small model cannot be converted: {problem}")
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copy2(building / "hf" / name, building / "ct2" / name)
        building.rename(model)
    assets = var_dir / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    (assets / "made-up.xml").write_text(_addresses(), encoding="utf-8")
    definition = var_dir / "definition.toml"
    definition.write_text(DEFINITION, encoding="utf-8")
    return definition


def _addresses() -> str:
    """`ROWS` different addresses in the format of the demo file."""
    draw = random.Random(11)
    lines = []
    for number in range(ROWS):
        place = draw.randrange(len(_CITIES))
        lines.append(
            "<AddressString>"
            f"<AddressNumber>{100 + 37 * number}</AddressNumber> "
            f"<StreetName>{draw.choice(_STREETS)}</StreetName> "
            f"<StreetNamePostType>{draw.choice(_KINDS)}</StreetNamePostType> "
            f"<PlaceName>{_CITIES[place]},</PlaceName> "
            f"<StateName>{_STATES[place]}</StateName> "
            f"<ZipCode>{draw.randrange(10000, 99999)}</ZipCode>"
            "</AddressString>"
        )
    return "<AddressCollection>\n" + "\n".join(lines) + "\n</AddressCollection>\n"
