"""The table of fops: whole, typed, and the same for everybody who builds on it."""

from __future__ import annotations

import inspect

import pytest

from volgraph.graph import FOPS, FopKind, Translator
from volgraph.translators import Afr, Memory, Posix, Unify
from volgraph.translators.protocol.wire import table

LEFT_OUT = {"put", "compound", "lease", "icreate", "namelink", "getactivelk", "setactivelk"}
"""Of GlusterFS's modern fops, those that nobody here needs."""

CALLBACKS = {"release", "forget", "disconnect"}


def test_every_modern_fop_is_in_the_table() -> None:
    wanted = """lookup stat fstat access readlink statfs setattr fsetattr truncate ftruncate fallocate discard zerofill
        open create readv writev flush fsync seek copy_file_range mknod mkdir symlink rename link unlink rmdir opendir
        readdir readdirp fsyncdir setxattr fsetxattr getxattr fgetxattr removexattr fremovexattr xattrop fxattrop lk
        inodelk finodelk entrylk fentrylk rchecksum ipc getspec"""

    assert set(FOPS) == set(wanted.split())
    assert not set(FOPS) & LEFT_OUT


@pytest.mark.parametrize("name", FOPS)
def test_each_fop_takes_the_call_first_and_names_its_types(name: str) -> None:
    signature = inspect.signature(getattr(Translator, name))
    parameters = list(signature.parameters.values())

    assert [each.name for each in parameters[:2]] == ["self", "call"]
    assert "Awaitable[" in signature.return_annotation
    assert all(each.annotation is not inspect.Parameter.empty for each in parameters[1:])


@pytest.mark.parametrize("cls", [Afr, Memory, Posix, Unify])
@pytest.mark.parametrize("name", FOPS)
def test_an_override_takes_the_same_arguments(cls: type[Translator], name: str) -> None:
    base = list(inspect.signature(getattr(Translator, name)).parameters.values())
    own = list(inspect.signature(getattr(cls, name)).parameters.values())

    assert [(each.name, each.default) for each in own] == [(each.name, each.default) for each in base]


def test_every_change_goes_through_afr_s_own_hands() -> None:
    """A fop that changes something and is left alone would reach nobody: it has to be replicated or refused."""
    changing = {name for name, kind in FOPS.items() if kind in (FopKind.DATA, FopKind.METADATA, FopKind.ENTRY)}
    left_alone = {name for name in changing if getattr(Afr, name) is getattr(Translator, name)}

    assert left_alone == {"copy_file_range"}


def test_the_wire_knows_every_fop_but_those_it_has_no_procedure_for() -> None:
    assert set(FOPS) - {row.fop for row in table.ROWS} == {"getspec"}
