"""How fine a difference a test of a given size can show."""

import math

# Below this many test rows a page says what the test cannot show.
FEW_TEST_ROWS = 50
_Z95 = 1.959963984540054


def half_width(n: int) -> float:
    """Half the width of Wilson's two-sided 95 % interval of a proportion of one half that was seen in `n` rows.

    At p = 1/2 it is z / (2 * sqrt(n + z^2)): E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212. ValueError for no
    row.
    """
    if n < 1:
        raise ValueError("a proportion needs at least one row")
    return _Z95 / (2 * math.sqrt(n + _Z95**2))
