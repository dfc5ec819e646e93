"""What the tests of the recomputation share."""

from typing import Any

import pytest

from scripts.tests.honest_report import honest_report


@pytest.fixture(scope="session")
def honest() -> dict[str, Any]:
    """A report whose figures are all right. A test that changes it changes a copy."""
    return honest_report()
