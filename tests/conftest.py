"""What every test shares: the two event loops, and how hard Hypothesis looks."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# No deadlines: a busy machine is not a wrong program. `ci` derandomizes, so that a verdict depends on the
# tree alone; `dev`, which a bare pytest uses, and `soak` look somewhere new every time.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", _patient, max_examples=50, print_blob=True)
settings.register_profile("ci", _patient, max_examples=100, derandomize=True, database=None)
settings.register_profile("soak", _patient, max_examples=5000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every test marked `anyio` runs once on each."""
    return str(request.param)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests told of themselves by `record_property(subject, text)`, by subject, each in a line."""
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, [])]
    told: dict[str, list[str]] = {}
    for report in reports:
        for subject, text in getattr(report, "user_properties", ()):
            told.setdefault(str(subject), []).append(str(text))
    for subject, lines in told.items():
        terminalreporter.section(subject)
        for line in sorted(lines):
            terminalreporter.write_line(line)
