"""Reads that need more than one app."""

from apps.workspace.selectors.home import HomeFacts, home_facts
from apps.workspace.selectors.jobs import JobRow, job_for, jobs_at_hand, jobs_page, running_count
from apps.workspace.selectors.progress import ProgressFacts, progress_facts
from apps.workspace.selectors.shell import shell_facts

__all__ = [
    "HomeFacts",
    "JobRow",
    "ProgressFacts",
    "home_facts",
    "job_for",
    "jobs_at_hand",
    "jobs_page",
    "progress_facts",
    "running_count",
    "shell_facts",
]
