"""What the sweeps try is every fop that changes something, alone and in the ways that programs use it."""

import errno

import pytest

from volgraph.graph import FOPS, Fd, FopKind, Translator
from volgraph.testing.by_hand import answer, by_hand, opened_by_hand
from volgraph.testing.operations import CALL, CHANGES_OF_CONTENTS, Operation, a_file
from volgraph.testing.operations_attributes import CHANGES_OF_ATTRIBUTES
from volgraph.testing.operations_names import CHANGES_OF_NAMES
from volgraph.translators import Afr, Memory

CHANGES = (*CHANGES_OF_CONTENTS, *CHANGES_OF_ATTRIBUTES, *CHANGES_OF_NAMES)
REPLICATED = {
    *("writev", "truncate", "ftruncate", "fallocate", "discard", "zerofill", "fsync"),
    *("setattr", "fsetattr", "setxattr", "fsetxattr", "removexattr", "fremovexattr", "xattrop", "fxattrop"),
    *("create", "mknod", "mkdir", "link", "symlink", "unlink", "rmdir", "rename"),
}
"""What an afr changes on all copies, in transactions."""


class Listening(Translator):
    """Notes which fops pass."""

    def relay(self, fop, *args, **kwargs):  # type: ignore[no-untyped-def]
        self.heard = {*getattr(self, "heard", ()), fop.__name__}
        return super().relay(fop, *args, **kwargs)


def fops_of(operation: Operation) -> set[str]:
    """What it asks of a single brick once it is prepared; and it must do what it says."""
    top = Listening("top", [Memory("disk")])
    with opened_by_hand(top):
        fd: Fd = by_hand(operation.prepare(top))
        assert by_hand(operation.look(top)) == operation.before
        top.heard = set()
        if operation.refusal:
            with pytest.raises(OSError) as refused:
                by_hand(operation.perform(top, fd))
            assert refused.value.errno == operation.refusal
        else:
            by_hand(operation.perform(top, fd))
        heard: set[str] = top.heard
        if "O_TRUNC" not in operation.name:  # a brick leaves that to whoever is above it
            assert by_hand(operation.look(top)) == operation.after
    return heard


@pytest.mark.parametrize("operation", CHANGES, ids=lambda operation: operation.name)
def test_an_operation_does_what_it_says(operation: Operation) -> None:
    assert fops_of(operation)


def test_operations_have_names_of_their_own() -> None:
    assert len({operation.name for operation in CHANGES}) == len(CHANGES)


def test_every_fop_that_changes_something_is_swept() -> None:
    swept = set().union(*map(fops_of, CHANGES))

    assert swept >= REPLICATED, f"not swept: {sorted(REPLICATED - swept)}"


def test_the_only_other_fop_that_changes_anything_is_refused() -> None:
    """A program that is told so copies by reading and writing."""
    changing = (FopKind.DATA, FopKind.METADATA, FopKind.ENTRY)

    assert {name for name, kind in FOPS.items() if kind in changing} == REPLICATED | {"copy_file_range"}
    with opened_by_hand(Afr("mirror", [Memory("a"), Memory("b")], self_heal_daemon=False)) as graph:
        fd = by_hand(a_file(graph.top))
        with pytest.raises(OSError) as refused:
            by_hand(answer(graph.top.copy_file_range(CALL, fd, 0, fd, 8, 4, 0)))
        assert refused.value.errno == errno.EOPNOTSUPP
