"""Reads that need more than one app."""

from apps.workspace.selectors.home import HomeFacts, home_facts
from apps.workspace.selectors.jobs import JobRow, job_for, jobs_at_hand, jobs_page, running_count
from apps.workspace.selectors.notices import AT_MOST, Notice, notices_begin, notices_since
from apps.workspace.selectors.progress import ProgressFacts, progress_facts
from apps.workspace.selectors.shell import money_facts, running_facts, shell_facts

__all__ = [
    "AT_MOST",
    "HomeFacts",
    "JobRow",
    "Notice",
    "ProgressFacts",
    "home_facts",
    "job_for",
    "jobs_at_hand",
    "jobs_page",
    "money_facts",
    "notices_begin",
    "notices_since",
    "progress_facts",
    "running_count",
    "running_facts",
    "shell_facts",
]
