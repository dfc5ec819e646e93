"""The models that every team's list begins with: where they come from, and what they need.

Revisions are commits, so that a name always means the same weights. Commits, SHA-256 hashes and sizes are those that
public records of these files agree on; a size that no record states is marked, shown as about so much, and not relied
on. A model whose hash is not written here is checked by the hash that the hub names, and its page says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One model of the written list.

    `weights_bytes` and `weights_sha256` are those of model.safetensors, which holds besides the parameters GPT-2's
    attention masks. `also_served` names folders that hold the same model in another form.
    """

    key: str
    name: str
    repository: str
    revision: str
    parameters: int
    context_length: int
    weights_bytes: int
    licence: str
    weights_sha256: str = ""
    size_is_exact: bool = True
    also_served: tuple[str, ...] = ()

    @property
    def served_name(self) -> str:
        """The folder below artifacts/models that every team shares: the same commit is the same model."""
        return f"{self.key}-{self.revision[:8]}"


KNOWN_MODELS: tuple[KnownModel, ...] = (
    KnownModel(
        key="smollm2-135m-instruct",
        name="SmolLM2-135M-Instruct",
        repository="HuggingFaceTB/SmolLM2-135M-Instruct",
        revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
        parameters=134_515_008,
        context_length=8192,
        weights_bytes=269_060_552,
        licence="Apache-2.0",
        weights_sha256="5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
        also_served=("smollm2-135m-instruct-q4",),
    ),
    KnownModel(
        key="gpt2",
        name="GPT-2 small",
        repository="openai-community/gpt2",
        revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
        parameters=124_439_808,
        context_length=1024,
        weights_bytes=548_105_171,
        licence="MIT",
        weights_sha256="248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
    ),
    KnownModel(
        key="gpt2-medium",
        name="GPT-2 medium",
        repository="openai-community/gpt2-medium",
        revision="6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
        parameters=354_823_168,
        context_length=1024,
        weights_bytes=1_519_984_962,
        licence="MIT",
        weights_sha256="fc5a354a19255ad494f3d71549390baca1ccf61d1d822b9408971705c687c9cd",
    ),
    KnownModel(
        key="gpt2-large",
        name="GPT-2 large",
        repository="openai-community/gpt2-large",
        revision="32b71b12589c2f8d625668d2335a01cac3249519",
        parameters=774_030_080,
        context_length=1024,
        weights_bytes=3_247_159_078,
        licence="MIT",
        weights_sha256="5f47f3e12f91cd33b662ce7e433b6150ad5512b5884a2cee961b50e9c3bbebce",
        size_is_exact=False,
    ),
    KnownModel(
        key="gpt2-xl",
        name="GPT-2 XL",
        repository="openai-community/gpt2-xl",
        revision="15ea56dee5df4983c59b2538573817e1667135e2",
        parameters=1_557_611_200,
        context_length=1024,
        weights_bytes=6_431_829_964,
        licence="MIT",
        weights_sha256="0f8b28eb05a8075f48b61b6f35332978c74fc7763fa9fb4051a1c30511736a6a",
        size_is_exact=False,
    ),
)


def known_model(key: str) -> KnownModel | None:
    """The written model of that key, if there is one."""
    return next((model for model in KNOWN_MODELS if model.key == key), None)


def known_as(served_name: str) -> KnownModel | None:
    """The written model that is served by that name at its commit, if there is one."""
    return next((model for model in KNOWN_MODELS if model.served_name == served_name), None)


def serving_bytes(parameters: int) -> int:
    """Memory that answering with a model takes at least: four bytes for each parameter in float32."""
    return 4 * parameters
