"""`Posix`, the whole of storage/posix."""

from __future__ import annotations

import attrs

from .on_worker import PosixOnWorker


@attrs.define(eq=False)
class Posix(PosixOnWorker):
    """A brick: a directory on a local file system, in the format of GlusterFS.

        volume near
          type storage/posix
          option directory /srv/near
        end-volume

    As root a brick is what glusterfsd makes and takes: a gfid in `trusted.gfid`, handles below `.glusterfs`, counters
    of replication in `trusted.afr.*`. Where `trusted.*` is refused, as it is to an ordinary user, the same things
    stand in a database below `.glusterfs` (`option metadata sidecar`). A brick stays what it was made as.

    A directory that already holds files can become a brick. Such a file has no gfid until a lookup of its name offers
    one (`gfid-req` in its xdata); a lookup that offers none answers ENODATA, and a listing shows it without attributes.
    Files may be read and written beside the brick, by other programs, as long as no two work on one at a time.
    With a sidecar, a directory that is removed beside the brick and made anew at the same name may be given the same
    inode number: then it is taken for the old one, and has its gfid and `trusted.*`. Remove directories through the
    volume there.

    Where the brick runs as root, objects made here belong to the caller, and callers other than root may do what the
    kernel would let them, by mode, owner and access control list. A path is judged one component at a time: a lookup by
    name asks for the right to search its directory. Otherwise all objects are the brick's own user's, and the kernel
    judges that user.

    Times are those of the file system, or, on a brick where GlusterFS keeps its clients' own in
    `trusted.glusterfs.mdata`, these: told where they stand, and kept true, but never begun on another brick (`option
    ctime`). `trusted.gfid2path.*` is kept true where it exists. The mode of a symlink and any ctime are never set.
    fallocate, discard, zerofill and copy_file_range do what the file system can, and answer EOPNOTSUPP where it cannot.

    Locks and the heal index are answered by the brick itself; features/locks and features/index above it do nothing.

    A disk that fails, or hangs, takes its own brick down and nothing else. System calls are made inline; on file
    systems that wait for a server (`option io-mode`) all on one thread of the brick's own, where a call that takes
    longer than `io-timeout` takes the brick down: whatever waits is answered, what has not begun is never done. Every
    `health-check-interval` a file is written and read back. A brick is up again once what hangs has come back and a
    check has passed. It has forgotten its locks then, as one whose process ends; what was open stays open.

    A brick that cannot be written when it starts, as its file system is mounted read-only or its user may only read it,
    is served as it stands: `status` says read-only, changes are EROFS, nothing is mended, and it stays so until it is
    opened anew. Below a cluster, which would try to change it, it is a child that is down.
    """
