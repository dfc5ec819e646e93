"""A row's split is a pure function of the dataset's split seed and the row's group key."""

import hashlib
from collections.abc import Callable
from typing import Literal, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
DEFAULT_PROBABILITIES = (0.70, 0.15, 0.15)


def splitter(*, seed: int, probabilities: tuple[float, float, float] = DEFAULT_PROBABILITIES) -> Callable[[str], Split]:
    """Train, validation or test for a group key. Every version of a dataset asks this with the same seed.

    The first 53 bits of BLAKE2b(seed, key) are a uniform number in [0, 1), compared with the running sum of
    `probabilities`. ValueError unless they are positive and sum to one.
    """
    if abs(sum(probabilities) - 1) > 1e-9 or min(probabilities) <= 0:
        raise ValueError(f"split probabilities {probabilities} must be positive and sum to 1")
    keyed = hashlib.blake2b(key=seed.to_bytes(8, "big"), digest_size=8)
    train, before_test = probabilities[0], probabilities[0] + probabilities[1]

    def place(group_key: str) -> Split:
        digest = keyed.copy()
        digest.update(group_key.encode())
        uniform = (int.from_bytes(digest.digest(), "big") >> 11) / (1 << 53)
        if uniform < train:
            return "train"
        return "validation" if uniform < before_test else "test"

    return place


def split_of(*, seed: int, group_key: str, probabilities: tuple[float, float, float] = DEFAULT_PROBABILITIES) -> Split:
    """The split of one group: `splitter` for a single key."""
    return splitter(seed=seed, probabilities=probabilities)(group_key)
