"""Arrow arrays from plain values and back, over their memory.

pyarrow takes values one by one, and imports pandas when it is given the first: 0.3 s and 50 MB that a page of rows
would wait for, and an import would carry along.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def strings(values: Sequence[str]) -> Any:
    """A `pyarrow.StringArray`, or a chunked one where the texts have more bytes than one can hold."""
    import pyarrow as pa

    joined = "".join(values)
    data = joined.encode()
    lengths: Iterable[int] = map(len, values)
    if len(data) != len(joined):
        lengths = (len(text.encode()) for text in values)
    try:
        ends = array("i", accumulate(lengths, initial=0))
    except OverflowError:
        return pa.array(values, pa.string())
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(ends), pa.py_buffer(data))


def positions(values: Iterable[int]) -> Any:
    """A `pyarrow.Int64Array`."""
    import pyarrow as pa

    held = array("q", values)
    return pa.Int64Array.from_buffers(pa.int64(), len(held), [None, pa.py_buffer(held)])


def numbers(column: Any) -> NDArray[Any]:
    """The values of an array of whole numbers, chunked or not, none of them missing."""
    import numpy as np

    chunks = getattr(column, "chunks", [column])
    kind = np.dtype(str(column.type))
    parts = [np.frombuffer(chunk.buffers()[1], kind, len(chunk), chunk.offset * kind.itemsize) for chunk in chunks]
    return np.concatenate(parts) if parts else np.zeros(0, kind)
