"""What fops answer. Each reply may carry xdata; `pre` and `post` are attributes before and after the fop."""

from __future__ import annotations

import attrs

from .types import Buffer, Flock, Gfid, Iatt, Xdata


@attrs.define
class Acknowledged:
    """Done, nothing to tell."""

    xdata: Xdata | None = None


@attrs.define
class LookedUp:
    """An object found, and its parent directory as it is now (None where the lookup was by gfid)."""

    iatt: Iatt
    postparent: Iatt | None = None
    xdata: Xdata | None = None


@attrs.define
class Attributes:
    iatt: Iatt
    xdata: Xdata | None = None


@attrs.define
class Changed:
    """Pre and post are None where the caller wanted no attributes."""

    pre: Iatt | None = None
    post: Iatt | None = None
    xdata: Xdata | None = None


@attrs.define
class Made:
    """A new name: its object, and the directory it was put into."""

    iatt: Iatt
    preparent: Iatt | None = None
    postparent: Iatt | None = None
    xdata: Xdata | None = None


@attrs.define
class Removed:
    preparent: Iatt | None = None
    postparent: Iatt | None = None
    xdata: Xdata | None = None


@attrs.define
class Renamed:
    iatt: Iatt
    pre_old_parent: Iatt | None = None
    post_old_parent: Iatt | None = None
    pre_new_parent: Iatt | None = None
    post_new_parent: Iatt | None = None
    xdata: Xdata | None = None


@attrs.define
class Target:
    """The text of a symlink."""

    target: bytes
    iatt: Iatt | None = None
    xdata: Xdata | None = None


@attrs.define
class Data:
    """Bytes read; `end` is true when they reach the end of the file. `iatt` is None where no attributes were wanted."""

    data: Buffer
    iatt: Iatt | None = None
    end: bool = False
    xdata: Xdata | None = None

    def with_data(self, data: Buffer) -> Data:
        """The same answer with other bytes: what a translator that changes contents returns."""
        return Data(data, self.iatt, self.end, self.xdata)


@attrs.define
class Written:
    count: int
    pre: Iatt | None = None
    post: Iatt | None = None
    xdata: Xdata | None = None


@attrs.define
class Entry:
    """One name of a listing. `offset` is where the next entry begins: pass it on to go on behind this one.

    `kind` is the dirent type (4 directory, 8 file, 10 symlink, 0 unknown); `iatt` and `xdata` come with readdirp only.
    """

    name: bytes
    offset: int
    kind: int = 0
    gfid: Gfid | None = None
    iatt: Iatt | None = None
    xdata: Xdata | None = None


@attrs.define
class Entries:
    """A piece of a listing, without `.` and `..`; `end` is true when nothing follows."""

    entries: list[Entry]
    end: bool = False
    xdata: Xdata | None = None


@attrs.define
class Xattrs:
    """Extended attributes by name. For xattrop: the new values (GET_AND_SET: the old ones)."""

    values: dict[str, bytes]
    pre: Iatt | None = None
    post: Iatt | None = None
    xdata: Xdata | None = None


@attrs.define
class Space:
    """statvfs; `blocks`, `bfree`, `bavail` in units of `frsize` bytes."""

    bsize: int = 4096
    frsize: int = 4096
    blocks: int = 0
    bfree: int = 0
    bavail: int = 0
    files: int = 0
    ffree: int = 0
    favail: int = 0
    fsid: int = 0
    flag: int = 0
    namemax: int = 255
    xdata: Xdata | None = None


@attrs.define
class Locked:
    """The lock asked for, or (GET) the one in the way, or type UNLOCK where none is."""

    flock: Flock
    xdata: Xdata | None = None


@attrs.define
class Checksums:
    """Of one block: `weak` is adler32 started at 0, `strong` MD5, as GlusterFS has them."""

    weak: int
    strong: bytes
    xdata: Xdata | None = None


@attrs.define
class Sought:
    offset: int
    xdata: Xdata | None = None


@attrs.define
class Copied:
    count: int
    iatt: Iatt | None = None
    pre: Iatt | None = None
    post: Iatt | None = None
    xdata: Xdata | None = None


@attrs.define
class Volfile:
    """The spec of a volume, as a server hands it out."""

    text: str
    xdata: Xdata | None = None
