"""Fixtures and hooks that all tests share."""

import os
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.running import Psm

_IN_CI = os.environ.get("PSM_CI") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI everything that a test needs is there, so a test that skips itself has stopped testing: it fails."""
    report = yield
    if _IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module (``pytest.importorskip`` and the like)."""
    report = yield
    if _IN_CI and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


@pytest.fixture
def psm(tmp_path: Path) -> Psm:
    """psm as a person runs it, with an empty home."""
    return Psm(tmp_path)


@pytest.fixture
def removed_at_once(tmp_path: Path) -> Iterator[None]:
    """For trees so deep that pytest's own clean-up, which recurses, would fail on them in a later session."""
    yield
    subprocess.run(["rm", "-rf", "--", *tmp_path.iterdir()], check=True)
