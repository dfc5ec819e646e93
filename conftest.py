"""What every test can use: six people, a folder of its own for artefacts, and no silent skips."""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from apps.accounts.models import Team, User

ALLOWED_SKIPS = Path(__file__).with_name("tests-allowed-skips.txt")


def allowed_skip_reasons() -> frozenset[str]:
    lines = (line.strip() for line in ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


def refuse_unlisted_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure unless its reason is listed. An expected failure is not a skip."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    _, _, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, str(report.longrepr))
    reason = reason.removeprefix("Skipped: ")
    if reason not in allowed_skip_reasons():
        report.outcome = "failed"
        report.longrepr = f"Skipped for a reason that {ALLOWED_SKIPS.name} does not list: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_unlisted_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_unlisted_skip(report)
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the runtime folder that the test settings made. Workers share it, so only the first process may."""
    from django.conf import settings

    # Set here means inherited: a test of another run started this one, and the folder is that run's.
    started_by_a_test = "PYTEST_CURRENT_TEST" in os.environ
    if started_by_a_test or hasattr(config, "workerinput") or not settings.configured:
        return
    var_dir = Path(settings.VAR_DIR)
    if var_dir.parent == Path(tempfile.gettempdir()) and var_dir.name.startswith("llmopt-test-"):
        shutil.rmtree(var_dir, ignore_errors=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Only files that name the one mark that is asked for: importing all others takes longer than their tests."""
    mark = config.option.markexpr
    if mark not in {"both_databases", "syntax"} or not collection_path.name.startswith("test_"):
        return None
    return None if mark in collection_path.read_text(encoding="utf-8") else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, then those with a browser: what is begun last keeps nobody waiting for long."""
    marked = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in ("slow", "browser")}
    items.sort(key=lambda item: (item.path not in marked["slow"], item.path not in marked["browser"]))


# What migrations write, and every test may expect.
KEPT_TABLES = {"django_content_type", "auth_permission"}


def empty_tables() -> None:
    """Delete what tests have committed. Django's flush truncates every table and writes the content types and the
    permissions again, which took 0.4 s after each of five hundred tests.
    """
    from django.db import connection, transaction

    quoted = [
        connection.ops.quote_name(name)
        for name in connection.introspection.django_table_names(only_existing=True, include_views=False)
        if name not in KEPT_TABLES
    ]
    with connection.cursor() as cursor:
        asked = [f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in quoted]  # noqa: S608 - our tables
        cursor.execute(" UNION ALL ".join(asked))
        filled = [name for (name,) in cursor.fetchall()]
        # In any order: foreign keys are looked at when the transaction ends.
        with transaction.atomic():
            for name in filled:
                cursor.execute(f"DELETE FROM {name}")  # noqa: S608 - as above


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, which cannot be dropped while the threads that tests left still hold it open."""
    from django.db import connection
    from django.test import TransactionTestCase

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TransactionTestCase, "_fixture_teardown", lambda case: empty_tables())
        yield
    from apps.core.db import stop_database_thread

    stop_database_thread()
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True)
def artifact_folder(tmp_path: Path, settings: Any) -> Path:
    """Where this test's artefacts lie; no test sees another's."""
    folder = tmp_path / "artifacts"
    artifacts = {**settings.STORAGES["artifacts"], "OPTIONS": {"location": folder}}
    settings.STORAGES = {**settings.STORAGES, "artifacts": artifacts}
    return folder


@pytest.fixture
def empty_cache_memory() -> Iterator[None]:
    """No answer that another test left in the memory of the response cache, and none left behind."""
    from apps.billing import cache

    cache.forget_memory()
    yield
    cache.forget_memory()


@pytest.fixture
def team(db: None) -> "Team":
    from apps.core.tests.factories import TeamFactory

    return TeamFactory.create(name="Addresses", slug="addresses")


@pytest.fixture
def other_team(db: None) -> "Team":
    from apps.core.tests.factories import TeamFactory

    return TeamFactory.create(name="Elsewhere", slug="elsewhere")


def _member(team: "Team", name: str, role: str) -> "User":
    from apps.core.tests.factories import MembershipFactory, UserFactory

    user = UserFactory.create(email=f"{name}@example.com", name=name.capitalize())
    MembershipFactory.create(team=team, user=user, role=role)
    return user


@pytest.fixture
def alice(team: "Team") -> "User":
    """Owns the team."""
    return _member(team, "alice", "owner")


@pytest.fixture
def adam(team: "Team") -> "User":
    """Administers the team."""
    return _member(team, "adam", "admin")


@pytest.fixture
def bob(team: "Team") -> "User":
    """May edit."""
    return _member(team, "bob", "editor")


@pytest.fixture
def vera(team: "Team") -> "User":
    """May look."""
    return _member(team, "vera", "viewer")


@pytest.fixture
def rita(team: "Team") -> "User":
    """Rates, and sees nothing else."""
    return _member(team, "rita", "rater")


@pytest.fixture
def charlie(other_team: "Team") -> "User":
    """Owns another team and must see nothing of this one."""
    return _member(other_team, "charlie", "owner")


@pytest.fixture
def people(alice: "User", adam: "User", bob: "User", vera: "User", rita: "User", charlie: "User") -> "dict[str, User]":
    return {"alice": alice, "adam": adam, "bob": bob, "vera": vera, "rita": rita, "charlie": charlie}
