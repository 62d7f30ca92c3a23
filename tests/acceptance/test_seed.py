"""docs/seed.md: every row names a proof that `make test` runs, or says why there is none yet."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs/seed.md"
HERE = "tests/acceptance/"
NOT_YET = "not yet: "


def rows() -> list[tuple[str, str]]:
    """Claim and proof."""
    found = []
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells != ["The claim", "Shown by"]:
            assert len(cells) == 2, line
            found.append((cells[0], cells[1]))
    return found


def proofs() -> list[str]:
    """What stands between back-ticks in the rows that show."""
    return [proof.strip("`") for _, proof in rows() if not proof.startswith(NOT_YET)]


def test_every_row_has_a_proof_or_a_reason() -> None:
    assert len(rows()) > 15
    for claim, proof in rows():
        assert proof.startswith(NOT_YET) or re.fullmatch(r"`(test_\w+\.py::|volgraph )[^`]+`", proof), claim


def test_every_named_test_is_run_by_make_test() -> None:
    named = [HERE + proof for proof in proofs() if not proof.startswith("volgraph ")]
    # Names only: a test of several variants stands for all of them.
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "not interop and not soak", HERE]
    collected = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, timeout=100).stdout.splitlines()
    stems = {re.sub(r"-(asyncio|trio)\]$", "]", line) for line in collected}
    stems |= {line.partition("[")[0] for line in collected}
    assert named
    assert [name for name in named if name not in stems] == []


@pytest.mark.parametrize("command", [proof for proof in proofs() if proof.startswith("volgraph ")])
def test_a_command_of_the_table_succeeds(command: str) -> None:
    words = [sys.executable, "-m", *command.split()]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
