"""A client that is told, line by line, what to do: ours or the real one (libgfapi), over one and the same volfile.

It is a process of its own, so that it can be killed in the midst of anything:

    with Session.started("ours", volfile, tmp_path / "client.log", directories) as session:
        session.sees([0, 1])
        assert session.do("mkdir", "/d") == "ok"
        session.begin("chmod", "/d", 0o700)
        session.kill()
"""

import errno
import importlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import attrs

from tests.interop.gfapi import ROOT
from tests.interop.real_gluster import STOP_SECONDS

SECONDS = 30.0
THREADS = 32

Kind = Literal["ours", "theirs"]
Word = str | int


@attrs.define(eq=False)
class Session:
    """The running client, as its test sees it."""

    kind: Kind
    process: "subprocess.Popen[str]"

    @classmethod
    @contextmanager
    def started(cls, kind: Kind, volfile: Path, log: Path, bricks: Sequence[Path]) -> Iterator["Session"]:
        """`bricks`: the directories of all children, in order."""
        order = [sys.executable, "-m", "tests.interop.sessions", kind, str(volfile), str(log), *map(str, bricks)]
        with log.with_suffix(".out").open("ab") as said:
            process = subprocess.Popen(
                order, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
            )
        session = cls(kind, process)
        try:
            yield session
        finally:
            session.end()

    def do(self, *order: Word) -> str:
        """A verb and its words; what came of it: `ok`, or the name of an errno."""
        self._say(*order)
        return self._answer()

    def begin(self, *order: Word) -> None:
        """The same beside whatever comes after it; `do("ended")` waits for all that was begun."""
        self._say("begin", *order)

    def _say(self, *order: Word) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], SECONDS)
        line = self.process.stdout.readline().strip() if ready else ""
        if not line:
            raise RuntimeError(f"{self.kind}: no answer")
        return line

    def sees(self, children: Sequence[int]) -> None:
        """Wait until exactly these children take part."""
        answer = self.do("sees", *children)
        assert answer == "ok", answer

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        """It leaves when its input ends, with its files closed or not."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
        self.process.stdout.close()


# --- in the process --------------------------------------------------------------------------------------------------

Verbs = Mapping[str, Callable[..., object]]
"""What a client can be told. `up` gives the children that take part. Files that are open have numbers, given by who
opens them; what is said of one that is not open is a KeyError."""


def serve(verbs: Verbs) -> None:
    """Do what the lines say, until they end."""
    begun: list[Future[str]] = []
    with ThreadPoolExecutor(THREADS) as threads:
        for line in sys.stdin:
            verb, *words = json.loads(line)
            if verb == "begin":
                begun.append(threads.submit(done, verbs, *words))
            elif verb == "ended":
                print(" ".join(sorted({each.result() for each in begun})), flush=True)
            else:
                print(done(verbs, verb, *words), flush=True)


def done(verbs: Verbs, verb: str, *words: Word) -> str:
    try:
        if verb == "sees":
            wait_to_see(verbs, list(words))
        else:
            verbs[verb](*words)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except KeyError:
        return "not open"
    return "ok"


def wait_to_see(verbs: Verbs, children: list[Word]) -> None:
    deadline = time.monotonic() + SECONDS / 2
    while (up := seen(verbs)) != children:
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, f"{up} take part, and not {children}")
        time.sleep(0.01)


def seen(verbs: Verbs) -> object:
    try:
        return verbs["up"]()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        return []


def main(kind: str, volfile: str, log: str, *bricks: str) -> None:
    os.umask(0)
    client = importlib.import_module(f"tests.interop.client_{kind}")
    with client.connected(Path(volfile), Path(log), bricks) as verbs:
        serve(verbs)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)
