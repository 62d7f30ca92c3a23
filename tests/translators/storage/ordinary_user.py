"""Work done as an ordinary user: where the tests run as root, by a child process that has become `nobody`."""

import os
import pwd
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from tests.translators.storage.bricks import AS_ROOT

USER = pwd.getpwnam("nobody") if AS_ROOT else pwd.getpwuid(os.geteuid())

IN_MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
"""A folder where an fsync costs nothing; None where there is none."""

TOLD_BYTES_MAX = 16_000


@contextmanager
def users_folder(above: Path | None = None) -> Iterator[Path]:
    """A new directory of the ordinary user's, who can get there: the one of pytest is shut again and again, by every
    other pytest that begins."""
    with TemporaryDirectory(prefix="volgraph-", dir=above, ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        for parent in folder.parents:
            if AS_ROOT and parent != parent.parent and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        os.chown(folder, USER.pw_uid, USER.pw_gid)
        yield folder


def as_user(backend: str, scenario: Callable[[Path], Awaitable[None]], directory: Path) -> None:
    """Run a scenario as the ordinary user; what goes wrong in it is the test's failure."""
    anyio.run(anyio.sleep, 0, backend=backend)  # loads what the child may not be able to read
    in_a_process_of_its_own(lambda: str(anyio.run(scenario, directory, backend=backend)))


def in_a_process_of_its_own(work: Callable[[], str]) -> str:
    """What `work` gives, done as the ordinary user; what goes wrong in it is the test's failure. It may not import what
    was not imported before: the ordinary user cannot read all that root can."""
    if not AS_ROOT:
        return work()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.setgroups([])
            os.setgid(USER.pw_gid)
            os.setuid(USER.pw_uid)
            told = "+" + work()
        except BaseException:
            told = "-" + traceback.format_exc()
        try:
            os.write(writing, told[:1].encode() + told[1:][-TOLD_BYTES_MAX:].encode(errors="replace"))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, errors="replace") as said:
        told = said.read()
    os.waitpid(child, 0)
    assert told[:1] == "+", told[1:] or "the child ended without a word"
    return told[1:]
