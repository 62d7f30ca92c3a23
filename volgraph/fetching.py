"""`gluster://HOST[:PORT]/ID`: a spec that a server, or glusterd, hands out."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping

from .errors import at_path
from .graph import Seams, Translator, all_that_is_wrong, fail
from .volspec import Dialect, Params, Problem, Spec, SpecError, parse
from .volspec.reading import SCHEME as SCHEME

URL = re.compile(r"gluster://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?/(.+)", re.DOTALL)
PORT = 24007

NOT_FROM_AFAR = frozenset(("storage/posix", "protocol/server"))
"""A server must not say which directories of this machine are used, nor what it serves."""


def address_of(url: str) -> tuple[str, int, str]:
    """Host, port and id. EINVAL."""
    found = URL.fullmatch(url)
    if found is None or not 0 < int(found[2] or PORT) < 65536:
        raise OSError(errno.EINVAL, "Write gluster://HOST[:PORT]/ID", url)
    return found[1].strip("[]"), int(found[2] or PORT), found[3]


async def fetched(
    url: str,
    wait: float,
    params: Params | None = None,
    types: Mapping[str, type[Translator]] | None = None,
    dialect: Dialect = "modern",
    seams: Seams | None = None,
) -> Spec:
    """Ask for the spec, `wait` seconds at most. OSError: EINVAL, unreachable, ENOENT no such id, ETIMEDOUT; SpecError
    also for one that names a directory of this machine."""
    from .translators.protocol.attach import fetch_spec

    host, port, key = address_of(url)
    try:
        text = await fetch_spec((seams or Seams()).network, host, key, port, wait)
    except OSError as error:
        if error.errno is None:  # a name that nobody knows has no errno of its own
            error = fail(errno.EHOSTUNREACH)
        raise at_path(error, url) from None
    try:
        spec = parse(text, url, dialect=dialect, params=params)
    except SpecError as error:
        raise all_that_is_wrong(error, types) from None
    refused = [volume for volume in spec.volumes.values() if volume.type.text in NOT_FROM_AFAR]
    if refused:
        hint = "save the spec, read it, and open the file"
        raise SpecError(
            Problem(f"a fetched spec may not use {each.type.text}", url, each.type.position, each.name.text, hint)
            for each in refused
        )
    return spec
