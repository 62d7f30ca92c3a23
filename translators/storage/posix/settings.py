"""The options of storage/posix."""

from __future__ import annotations

from typing import ClassVar

import attrs

from ....graph import option
from ....graph.options import Share, boolean, duration, one_of, path, uuid
from ..leaf import Leaf
from .reserve import percent_or_size

IGNORED_OPTIONS = frozenset(
    (
        "background-unlink",
        "batch-fsync-*",
        "brick-gid",
        "brick-uid",
        "create-*mask",
        "export-statfs-size",
        "force-*-mode",
        "gfid2path*",
        "glusterd-uuid",
        "hostname",
        "inode-lru-limit",
        "janitor-sleep-duration",
        "linux-aio",
        "linux-io_uring",
        "mandate-attribute",
        "max-hardlinks",
        "node-uuid-pathinfo",
        "o-direct",
        "shared-brick-count",
        "span-devices",
        "update-link-count-parent",
    )
)


@attrs.define(eq=False)
class PosixSettings(Leaf):
    """See `Posix`."""

    directory: str = option(path, help="the brick: a directory of its own")
    metadata: str = option(
        one_of("auto", "xattr", "sidecar"),
        default="auto",
        help="where gfids and trusted.* attributes are kept: on the files, as GlusterFS does, or (sidecar) in a"
        " database beside them, which needs no root; auto: as the brick always has, else what works here",
    )
    reserve: Share = option(  # noqa: RUF009 (an attrs field)
        percent_or_size,
        default=Share(percent=1.0),
        help="how much of the disk is to stay free, in percent or as a size: below it what takes space is refused with"
        " ENOSPC, but for healing; 0: nothing",
    )
    volume_id: str | None = option(
        uuid,
        default=None,
        help="what trusted.glusterfs.volume-id of the directory must be: a brick whose disk is not mounted, or is"
        " another one's, does not start",
    )
    io_mode: str = option(
        one_of("auto", "inline", "worker"),
        default="auto",
        help="where system calls are made: inline (a cached one is over before another thread had begun it), or all on"
        " a thread of the brick's own, for file systems that wait for a server and may hang; auto: worker on NFS, CIFS,"
        " FUSE and the like, else inline",
    )
    io_timeout: float = option(
        duration(0.01),
        default=30.0,
        help="io-mode worker: seconds after which one call counts as hanging, and the brick as down",
    )
    health_check_interval: float = option(
        duration(0),
        default=30.0,
        help="seconds between checks that the disk can be written and read; 0: only of a brick that is down",
    )
    health_check_timeout: float = option(
        duration(0), default=20.0, help="seconds that a check may take until the brick counts as down; 0: any"
    )
    ctime: bool = option(
        boolean,
        default=True,
        help="on a brick where GlusterFS keeps the times of its clients' clocks (trusted.glusterfs.mdata), keep and"
        " tell these; off: those of the file system",
    )

    ignored_options: ClassVar[frozenset[str]] = IGNORED_OPTIONS
