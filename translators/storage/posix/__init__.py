"""storage/posix: a brick on a local file system, in GlusterFS's own format.

`Posix` is one class in layers: each adds the fops of one subject, and rests on those above it in this list.

    settings                    the options
    life                        up, down when the disk is sick, up again; the end
    node                        what an fd is here, and the answers to keys of xdata
    entries                     finding, making, moving and removing names
    contents, space             reading and writing; sizes, reserved space, holes
    attributes, xattrs          and, among the latter, the counters of replication
    listing, locking
    timing                      GlusterFS's own times are kept, on a brick that has them
    on_worker                   `io-mode worker`: each fop on a thread of the brick's own

Under them lies a `Brick` (brick.py): an opened directory, in which objects are found by name and by gfid.

    opening, owner              how it is opened, and by whom
    places, handles             where an object stands, and how its gfid leads there
    metadata, sidecar, times    what is kept of each object, on the file or beside it
    marks, disk_index           which objects replication has to look at
    making, settling, doubt     changes of names that a crash or a sick disk leaves whole
    sweeping, landfill          what a crash has left; what is on its way out
    judging, granting           what the caller may do, and what a healer must
    worker, health, mounts      disks that hang or fail
    reserve, reading_only       disks that are full, or take no changes
    listed_names, buffers, views    what saves memory and time
"""

from .posix import Posix

__all__ = ["Posix"]
