"""Writes that a unique constraint decides between two who ask at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction

from apps.core.errors import ApplicationError


@contextmanager
def taken_first(refusal: ApplicationError) -> Iterator[None]:
    """Raise `refusal` where the write inside meets a row that somebody else made between the look and this.

    A savepoint keeps the transaction around it usable. The service looks first all the same: on a page that is the
    usual case, and needs no failed write.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise refusal from error
