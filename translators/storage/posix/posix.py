"""`Posix`, the whole of storage/posix."""

from __future__ import annotations

import attrs

from .locking import PosixLocking


@attrs.define(eq=False)
class Posix(PosixLocking):
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

    Objects made here belong to the caller where the brick runs as root, and to its own user otherwise. Whether a caller
    may do what it asks is for the layers above: as root every fop is allowed, only `access` judges by mode bits.

    Times are those of the file system; `trusted.glusterfs.mdata`, where GlusterFS has left it, is neither read nor
    changed. `trusted.gfid2path.*` is kept true where it exists. The mode of a symlink and any ctime are never set.
    fallocate, discard, zerofill and copy_file_range do what the file system can, and answer EOPNOTSUPP where it cannot.

    Locks and the heal index are answered by the brick itself; features/locks and features/index above it do nothing.
    """
