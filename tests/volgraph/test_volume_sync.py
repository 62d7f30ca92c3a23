"""The blocking face: the same methods, the same answers, the same errors."""

import errno
import inspect
import os
import signal
import threading

import pytest

import volgraph
from volgraph.files import File
from volgraph.translators import Memory
from volgraph.volume_sync import FileSync, VolumeSync

INNER = {"drop", "pread_buffer", "set_attributes", "set_xattrs", "xattrs"}
"""What of a file is public to its own package only."""


def test_every_public_method_of_the_async_classes_has_its_blocking_twin() -> None:
    for there, here, inner in ((volgraph.Volume, VolumeSync, {"close"}), (File, FileSync, INNER)):
        public = {name for name, _ in inspect.getmembers(there) if not name.startswith("_")} - inner

        assert public - set(dir(here)) - {"closed", "name"} == set()


def test_files_are_written_read_and_listed_without_an_event_loop() -> None:
    with volgraph.open_sync(Memory("m")) as vol:
        vol.makedirs("/a/b")
        assert vol.write_bytes("/a/f", b"text") == 4
        assert vol.read_bytes("/a/f") == b"text"
        assert sorted(entry.name for entry in vol.scandir("/a")) == ["b", "f"]
        assert [above for above, _, _ in vol.walk("/")] == ["/", "/a", "/a/b"]
        assert vol.stat("/a/f").st_size == 4
        assert vol.status().state == "up"
        with vol.open("/a/f", "r+b") as file:
            file.seek(2)
            with file.lock(0, 1):
                file.write(b"!")
            assert file.read() == b"t"
            assert not file.closed
        assert file.closed
        assert vol.heal().clean
        assert vol.pending().clean


def test_errors_are_those_of_the_async_call() -> None:
    with volgraph.open_sync(Memory("m")) as vol:
        with pytest.raises(FileNotFoundError) as caught:
            vol.read_bytes("/missing")
        with pytest.raises(NotADirectoryError):
            vol.write_bytes("/f", b"")
            vol.listdir("/f")

    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, "/missing")


def test_an_error_while_opening_is_raised_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(FileNotFoundError), volgraph.open_sync("/no/such.vol"):
        pass

    assert threading.active_count() == before


def test_a_file_left_open_goes_with_the_volume() -> None:
    with volgraph.open_sync(Memory("m")) as vol:
        file = vol.open("/f", "wb")
        file.write(b"x")

    assert file.closed


def test_a_lock_that_is_never_left_goes_with_the_volume() -> None:
    with volgraph.open_sync(Memory("m")) as vol:
        file = vol.open("/f", "wb")
        file.lock(0, 1).__enter__()

    assert file.closed


def test_an_interrupt_ends_what_waits_and_the_volume_closes_at_once() -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with volgraph.open_sync(Memory("m")) as vol:
        holder, waiter = vol.open("/f", "wb"), vol.open("/f", "wb")
        with holder.lock():
            threading.Timer(0.1, interrupt).start()
            with pytest.raises(KeyboardInterrupt), waiter.lock():
                pass
        with waiter.lock(wait=False):
            pass
