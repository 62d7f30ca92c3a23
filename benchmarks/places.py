"""Where in a file blocks are written and read: the same places, in the same order, for everybody who is measured."""

from __future__ import annotations

import random

BLOCK_BYTES = 4 << 10
PIECE_BYTES = 1 << 20
FILE_BYTES = 16 << 20
"""The file is whole before the first call is timed: nothing makes it longer."""
WRITERS = 16
"""Of one file, at once."""
SEED = 4


def at_random(count: int) -> list[int]:
    """Offsets of so many blocks."""
    chosen = random.Random(SEED)
    return [chosen.randrange(FILE_BYTES // BLOCK_BYTES) * BLOCK_BYTES for _ in range(count)]


def in_sequence(count: int) -> list[int]:
    """Offsets of so many pieces; from the start again after the last."""
    return [number * PIECE_BYTES % FILE_BYTES for number in range(count)]
