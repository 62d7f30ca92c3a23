"""How a client gets to a volume: connect, ask what is spoken, find the brick's port, attach."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping

import anyio

from ...graph import ProtocolError, fail
from ...graph.network import Network
from ...graph.seams import Clock
from .calls import Calls
from .wire import dicts, handshake, rpc
from .wire.handshake import Program
from .wire.xdr import Reader

PORT = 24007
"""Where glusterd listens, and a server of ours unless told otherwise."""
FETCH_SECONDS = 30.0


class Refused(Exception):
    """The server knows us and says no: asking again soon would be hammering."""


async def connected(network: Network, host: str, port: int, calls: Calls) -> list[Program]:
    """Connect, and ask for the programs that are spoken there. On any failure `calls` is at its end."""
    calls.connection = await network.connect(host, port, calls)
    if calls.ended.settled:
        calls.connection.close()
        raise fail(errno.ECONNRESET, f"{host}:{port}")
    programs: list[Program] = await calls.plain(
        rpc.DUMP_PROGRAM,
        rpc.DUMP_VERSION,
        handshake.DUMP,
        handshake.dump_request(),
        handshake.read_dump_reply,
        rpc.AUTH_V2,  # GlusterFS says this one, and nothing else, in the older form
    )
    return programs


async def reached(network: Network, host: str, port: int | None, volume: str, new_calls: Callable[[], Calls]) -> Calls:
    """A connection that speaks our version of the file operations. Where no port is known, the port map tells it."""
    calls = new_calls()
    try:
        programs = await connected(network, host, port or PORT, calls)
        if port is None and not _speaks(programs) and _listed(programs, rpc.PORTMAP_PROGRAM):
            port = await _brick_port(calls, volume)
            calls.end("it was the port map only")
            calls = new_calls()
            programs = await connected(network, host, port, calls)
        if not _speaks(programs):
            raise fail(errno.EPROTONOSUPPORT, f"{host}:{port or PORT} speaks no file operations of version 4")
    except BaseException:
        calls.end("not attached")
        raise
    return calls


def _listed(programs: list[Program], number: int) -> bool:
    return any(program.number == number for program in programs)


def _speaks(programs: list[Program]) -> bool:
    return any((program.number, program.version) == (rpc.FOPS_PROGRAM, rpc.FOPS_VERSION) for program in programs)


async def _brick_port(calls: Calls, volume: str) -> int:
    """ENOENT: no such brick is running there."""
    op_ret, op_errno, port = await calls.plain(
        rpc.PORTMAP_PROGRAM,
        rpc.PORTMAP_VERSION,
        handshake.PORT_BY_BRICK,
        handshake.port_request(volume),
        handshake.read_port_reply,
    )
    if op_ret < 0 or not 0 < port < 65536:
        raise _refused(op_errno, errno.ENOENT, volume)
    return int(port)


async def attached(calls: Calls, volume: str, options: Mapping[str, str]) -> bool:
    """Attach to a volume; True when it is up there. Refused, where the server does not let us; else OSError."""
    request = {"remote-subvolume": volume, "fops-version": str(rpc.FOPS_PROGRAM), **options}
    answer: tuple[int, int, dict[str, bytes]] = await calls.plain(
        rpc.HANDSHAKE_PROGRAM,
        rpc.HANDSHAKE_VERSION,
        handshake.SETVOLUME,
        handshake.setvolume_request(request),
        handshake.read_setvolume_reply,
    )
    op_ret, op_errno, answered = answer
    if op_ret < 0:
        said = dicts.old_text(answered, "ERROR") or ""
        if op_errno == errno.EACCES:
            raise Refused(f"{volume}: refused: {said[:200]}")
        raise _refused(op_errno, errno.EPROTO, f"{volume}: {said[:200]}")
    return dicts.old_text(answered, "child_up") != "0"


async def spec_from(calls: Calls, key: str) -> str:
    """The spec that the server hands out under a key. ENOENT where it has none."""
    op_ret, op_errno, spec = await calls.plain(
        rpc.HANDSHAKE_PROGRAM,
        rpc.HANDSHAKE_VERSION,
        handshake.GETSPEC,
        handshake.getspec_request(key),
        handshake.read_getspec_reply,
    )
    if op_ret < 0:
        raise _refused(op_errno, errno.ENOENT, key)
    return str(spec)


def _refused(said: int, otherwise: int, subject: str) -> OSError:
    """What a server refuses something with: the errno it says, if it is one."""
    return fail(said if said > 0 else otherwise, subject)


class _Fetcher:
    """The owner of a connection that is used once."""

    name = "getspec"

    def connection_ended(self, calls: Calls, reason: str) -> None:
        pass

    def called_back(self, procedure: int, reader: Reader) -> None:
        pass


async def fetch_spec(network: Network, host: str, key: str, port: int = PORT, seconds: float = FETCH_SECONDS) -> str:
    """Ask a server (or glusterd) for the spec of a volume. OSError: unreachable, ENOENT, ETIMEDOUT."""
    calls = Calls(_Fetcher(), Clock().monotonic, 0, 0)
    try:
        with anyio.fail_after(seconds):
            await connected(network, host, port, calls)
            return await spec_from(calls, key)
    except TimeoutError as error:
        raise fail(errno.ETIMEDOUT, f"{host}:{port}") from error
    except ProtocolError as error:
        raise fail(errno.EPROTO, f"{host}:{port}") from error
    finally:
        calls.end("fetched")


def reason_of(error: OSError | ProtocolError) -> str:
    """One line for people."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return str(error)
