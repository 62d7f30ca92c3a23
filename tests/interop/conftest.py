"""Interop tests start real programs, each its own; and a summary names what could not run."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.real_gluster import Gluster


@pytest.fixture(scope="session", autouse=True)
def _end_in_order_on_sigterm() -> Iterator[None]:
    """A run that is told to end still ends the programs that its tests started."""
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("told to end", 128 + signal.SIGTERM))
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def gluster(tmp_path: Path) -> Iterator[Gluster]:
    with Gluster(tmp_path) as running:
        yield running


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each program that a skipped test asked for."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = {report.longrepr[2].removeprefix("Skipped: ") for report in skipped}
    for reason in sorted(reasons):
        if reason.startswith("NOT RUN: "):
            terminalreporter.write_line(reason)
