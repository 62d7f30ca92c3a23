"""A mirror of bricks that can be taken away, and be told to make trouble; and a client that works on it.

One mirror serves many plays, one after the other, each in a directory of its own: nothing that a play does shows in the
changelogs of another.
"""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from tests.interop.changelogs import Left, left_on
from tests.interop.real_gluster import Brick, Gluster, wait_until
from tests.interop.sessions import Kind, Session, Word
from tests.interop.troubled_bricks import TroubledBrick
from tests.interop.volfiles import Option, replicate_volfile

Step = tuple[Word, ...]
"""A verb of a client, and its words. Paths are relative to the directory of the operation that it belongs to."""

QUIET_SECONDS = 1.2

PATHS = {"rename": 2, "link": 2, "write": 0, "close": 0, "fsync": 0, "ftruncate": 0, "fallocate": 0}
"""How many words of a step are paths, where that is not one."""


@attrs.define(eq=False)
class Mirror:
    folder: Path
    bricks: Sequence[Brick | TroubledBrick]

    @property
    def directories(self) -> list[Path]:
        return [brick.directory for brick in self.bricks]

    def mend(self) -> None:
        """All bricks run, and none makes trouble."""
        for brick in self.bricks:
            if isinstance(brick, TroubledBrick):
                brick.turn()
            if brick.process is None:
                brick.start()


@contextmanager
def mirror(folder: Path, copies: int, *, troubled: bool) -> Iterator[Mirror]:
    """`troubled`: its bricks are ours, which can be told to make trouble; otherwise real ones."""
    folder.mkdir()
    names = [f"b{number}" for number in range(copies)]
    with Gluster(folder) as gluster, ExitStack() as running:
        bricks: list[Brick | TroubledBrick] = []
        if troubled:
            with ThreadPoolExecutor() as threads:
                bricks += threads.map(running.enter_context, [TroubledBrick.of(folder, name) for name in names])
        else:
            bricks += map(gluster.brick, names)
        yield Mirror(folder, bricks)


@attrs.define(eq=False)
class Play:
    """One client's work in the directory `/<top>` of a mirror."""

    kind: Kind
    mirror: Mirror
    top: str
    options: dict[str, Option]
    answers: list[tuple[Step, str]] = attrs.field(init=False, factory=list)
    _session: Session | None = attrs.field(init=False, default=None)
    _running: ExitStack = attrs.field(init=False, factory=ExitStack)
    _dirty_before: set[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._dirty_before = self._dirty()

    # --- the client --------------------------------------------------------------------------------------------------

    def client(self) -> None:
        """A new one, which reaches all bricks that run."""
        self.leave()
        volfile = self.mirror.folder / "client.vol"
        volfile.write_text(replicate_volfile([brick.remote for brick in self.mirror.bricks], more=self.options))
        log = self.mirror.folder / f"{self.top}.log"
        self._session = self._running.enter_context(Session.started(self.kind, volfile, log, self.mirror.directories))
        self.sees()

    def leave(self) -> None:
        """The client ends, once it has taken its marks back."""
        self._session = None
        self._running.close()

    def kill_client(self) -> None:
        self.quiet()
        self._client.kill()
        self.leave()

    def do(self, place: str, *steps: Step) -> None:
        """In the directory of that name."""
        for step in steps:
            self.answers.append(((place, *step), self._client.do(*self._placed(place, step))))

    def begin(self, place: str, *step: Word) -> None:
        """Without waiting for the answer."""
        self._client.begin(*self._placed(place, step))

    def ended(self) -> None:
        """All that was begun has ended."""
        self.answers.append((("all that was begun",), self._client.do("ended")))

    @property
    def _client(self) -> Session:
        assert self._session is not None
        return self._session

    def _placed(self, place: str, step: Step) -> Step:
        verb, *words = step
        folder = f"/{self.top}/{place}".rstrip("/")
        if verb == "symlink":
            return verb, words[0], f"{folder}/{words[1]}"
        paths = PATHS.get(str(verb), 1)
        return verb, *(f"{folder}/{word}".rstrip("/") for word in words[:paths]), *words[paths:]

    def sees(self) -> None:
        """Wait until exactly the bricks that run take part."""
        running = [number for number, brick in enumerate(self.mirror.bricks) if brick.process is not None]
        self._client.sees(running)

    # --- the bricks --------------------------------------------------------------------------------------------------

    def lose(self, number: int) -> None:
        """This brick is killed, and the client has heard of it. Nothing was under way."""
        self.settle()
        self.mirror.bricks[number].kill()
        self.sees()

    def kill(self, number: int) -> None:
        """At once, whatever is under way."""
        self.mirror.bricks[number].kill()

    def back(self, number: int) -> None:
        """It is there again, as it was; with a new client, as one that waits reconnects in its own time."""
        self.quiet()  # a client of GlusterFS may end before it has taken its last marks back
        self.leave()
        self.mirror.bricks[number].start()
        self.client()

    def turn(self, number: int, *troubles: str) -> None:
        """This brick makes these kinds of trouble from now on, and no others."""
        brick = self.mirror.bricks[number]
        assert isinstance(brick, TroubledBrick)
        brick.turn(*troubles)

    def settle(self) -> None:
        """A client may answer before it has taken its last marks back."""
        wait_until(lambda: self._dirty() <= self._dirty_before, "nothing is under way")

    def quiet(self) -> None:
        """As settle, where some marks are to stay."""
        seen: list[list[Left]] = [[], left_on(self.mirror.directories, self.top)]

        def unchanged() -> bool:
            time.sleep(QUIET_SECONDS)  # other programs give us no event
            seen[:] = [seen[1], left_on(self.mirror.directories, self.top)]
            return seen[0] == seen[1]

        wait_until(unchanged, "the marks are as they stay")

    def _dirty(self) -> set[str]:
        indices = [brick / ".glusterfs/indices/dirty" for brick in self.mirror.directories]
        names = [name for index in indices if index.is_dir() for name in os.listdir(index)]
        return {name for name in names if not name.startswith("dirty-")}

    def on(self, number: int, place: str) -> Path:
        """What a brick has at that place."""
        return self.mirror.directories[number] / self.top / place
