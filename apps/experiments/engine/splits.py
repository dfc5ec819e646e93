"""A row's split is a pure function of the dataset's split seed and the row's group key."""

import hashlib
from typing import Literal, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
DEFAULT_PROBABILITIES = (0.70, 0.15, 0.15)


def split_of(*, seed: int, group_key: str, probabilities: tuple[float, float, float] = DEFAULT_PROBABILITIES) -> Split:
    """Train, validation or test for a group. Every version of a dataset asks this with the same seed.

    The first 53 bits of BLAKE2b(seed, key) are a uniform number in [0, 1), compared with the running sum of
    `probabilities`. ValueError unless they are positive and sum to one.
    """
    if abs(sum(probabilities) - 1) > 1e-9 or min(probabilities) <= 0:
        raise ValueError(f"split probabilities {probabilities} must be positive and sum to 1")
    digest = hashlib.blake2b(group_key.encode(), key=seed.to_bytes(8, "big"), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") >> 11) / (1 << 53)
    if uniform < probabilities[0]:
        return "train"
    if uniform < probabilities[0] + probabilities[1]:
        return "validation"
    return "test"
