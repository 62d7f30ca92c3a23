"""What happened in a simulated run, in order: a hash that two equal runs share, and the last lines for people."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from typing import Any

LINES_KEPT = 40
STEPS_MAX = 200_000
"""Task steps without any time passing, after which a run counts as stuck."""


class SimDeadlock(Exception):
    """Every task waits, and no timer will ever wake one."""


class SimLivelock(Exception):
    """Tasks run and run, and time stands still."""


class Transcript:
    """Steps of tasks and notes (deliveries, faults, answers) go into one hash, with their virtual time in seconds."""

    def __init__(self, steps_max: int = STEPS_MAX) -> None:
        self.steps = 0
        self.now = 0.0
        self._steps_max = steps_max
        self._steps_at_this_time = 0
        self._hash = blake2b(digest_size=16)
        self._recent: deque[tuple[float, str]] = deque(maxlen=LINES_KEPT)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    @property
    def recent(self) -> list[str]:
        return [f"{when:.6f} {text}" for when, text in self._recent]

    def step(self, now: float, task: int, name: str) -> None:
        """A task is about to run. SimLivelock when too many have run since time last passed."""
        if now > self.now:
            self.now = now
            self._steps_at_this_time = 0
        self.steps += 1
        self._steps_at_this_time += 1
        self._enter(f"task {task} {name}")
        if self._steps_at_this_time > self._steps_max:
            self._steps_at_this_time = 0  # or nobody could clean up any more
            raise SimLivelock(f"{self._steps_max} task steps at virtual time {now:.6f}; the last was in {name}")

    def note(self, text: str) -> None:
        self._enter(text)

    def _enter(self, text: str) -> None:
        self._recent.append((self.now, text))
        self._hash.update(f"{self.now!r} {text}\n".encode(errors="surrogateescape"))


_current: ContextVar[Transcript | None] = ContextVar("volgraph_simulation", default=None)


def note(text: str) -> None:
    """Enter something into the transcript of the simulation that runs now, if one does."""
    transcript = _current.get()
    if transcript is not None:
        transcript.note(text)


@contextmanager
def recording(transcript: Transcript) -> Iterator[None]:
    """All notes of this context, and of the tasks it starts, go into `transcript`."""
    token = _current.set(transcript)
    try:
        yield
    finally:
        _current.reset(token)


def where(coroutine: Any) -> str:
    """Where a suspended coroutine waits: the functions of its chain of awaits, and the line of the last."""
    names, line = [], ""
    while (frame := getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)) is not None:
        names.append(frame.f_code.co_qualname)
        line = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return f"{' > '.join(names)} {line}"
