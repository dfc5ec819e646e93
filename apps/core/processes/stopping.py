"""Whether this queue cluster was asked to stop, as seen from inside a task.

django-q waits for running tasks without bound; supervisor kills after its own wait. A task that asks here between two
steps ends in time and loses nothing.
"""

import mmap

# One byte that every fork of the cluster shares. A plain flag would be copied at the fork.
_flag = mmap.mmap(-1, 1)


def request() -> None:
    _flag[0] = 1


def requested() -> bool:
    """True from the moment the cluster was told to stop. False outside a cluster."""
    return _flag[0] == 1
