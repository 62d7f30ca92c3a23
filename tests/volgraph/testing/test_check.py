"""`testing.check` tells who keeps the contracts, and names what is broken."""

import errno
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from volgraph.graph import Capability, Coming, Data, Translator, fail
from volgraph.testing.check import check
from volgraph.testing.conformance import contracts


class Upper(Translator):
    """Upper-case everything that is read."""

    async def readv(self, call: Any, fd: Any, size: int, offset: int, flags: int = 0) -> Data:
        reply = await self.child.readv(call, fd, size, offset, flags)
        return reply.with_data(bytes(reply.data).upper())


class Forgetful(Translator):
    """Say that everything was written, and drop the last byte."""

    async def writev(self, call: Any, fd: Any, data: Any, offset: int, flags: int = 0) -> Any:
        reply = await self.child.writev(call, fd, bytes(data)[:-1], offset, flags)
        reply.count = len(data)
        return reply


class Unlinkable(Translator):
    """Refuse hard links without saying so."""

    def link(self, call: Any, old: Any, new: Any) -> Any:
        raise fail(errno.EOPNOTSUPP, self.name)


class DeclaredUnlinkable(Unlinkable):
    loses: ClassVar[frozenset[Capability]] = frozenset((Capability.HARD_LINKS,))


class ShutDoor(Translator):
    """Pass on the fops that it was told of, and refuse all others."""

    def relay(self, fop: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        if fop.__name__ in ("fallocate", "discard", "zerofill", "seek", "rchecksum", "copy_file_range"):
            raise fail(errno.EOPNOTSUPP, fop.__name__)
        answer: Awaitable[Any] = getattr(self.child, fop.__name__)(*args, **kwargs)
        return answer


class Buggy(Translator):
    def readlink(self, call: Any, loc: Any, size: int) -> Any:
        raise ZeroDivisionError


class Silent(Translator):
    """Never say that it is up."""

    def notify(self, event: Any) -> None:
        if not event.rises:
            super().notify(event)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_translator_that_keeps_every_contract_passes(backend: str) -> None:
    check(lambda child: Upper("upper", [child]), backend=backend)


def test_every_broken_contract_is_named_with_what_differed() -> None:
    with pytest.raises(AssertionError) as caught:
        check(lambda child: Forgetful("forgetful", [child]))

    assert f"of {len(contracts())} contracts are broken" in str(caught.value)
    assert "what_is_written_is_read: contents: found b'012345678', wanted b'0123456789'" in str(caught.value)


def broken_by(make: Callable[[str, list[Translator]], Translator]) -> str:
    with pytest.raises(AssertionError) as caught:
        check(lambda child: make("tested", [child]))
    return str(caught.value)


def test_a_refusal_passes_only_where_it_is_declared() -> None:
    said = broken_by(Unlinkable)
    assert "a_hard_link_is_one_more_name_of_the_same_object: OSError(95" in said
    check(lambda child: DeclaredUnlinkable("tested", [child]))


def test_fops_that_are_optional_may_be_refused() -> None:
    check(lambda child: ShutDoor("tested", [child]))


def test_an_error_that_is_no_oserror_is_told_as_it_is() -> None:
    assert "a_symlink_keeps_its_target_byte_by_byte: ZeroDivisionError()" in broken_by(Buggy)


def test_a_translator_that_does_not_come_up_or_never_answers_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Translator):
        def statfs(self, call: Any, loc: Any) -> Any:
            return Coming()

    monkeypatch.setattr("volgraph.testing.contract.SECONDS_MAX", 0.05)
    (statfs,) = (each for each in contracts() if "statfs" in each.name)
    with pytest.raises(AssertionError, match="does not come up"):
        check(lambda child: Silent("tested", [child]), only=[statfs])
    with pytest.raises(AssertionError, match="TimeoutError"):
        check(lambda child: Stuck("tested", [child]), only=[statfs])


def test_contracts_have_names_of_their_own_and_clusters_keep_fewer() -> None:
    names = [each.name for each in contracts()]

    assert len(set(names)) == len(names) >= 80
    assert 0 < len(contracts(brick=False)) < len(names)
