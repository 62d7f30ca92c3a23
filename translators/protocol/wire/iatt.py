"""Attributes on the wire: 148 bytes. What arrives is kept raw until somebody asks for a field."""

from __future__ import annotations

from struct import Struct

from ....graph import NOW_NS, NULL_GFID, Gfid, Iatt, NewAttributes

FORM = Struct(">16s8Q4q9I")
IATT_BYTES = FORM.size
ZEROS = bytes(IATT_BYTES)

FLAGS = 0x17FF
"""Which fields count: all but btime."""

(SIZE, BLOCKS, ATIME, MTIME, CTIME) = (5, 6, 9, 10, 11)
(ATIME_NSEC, MTIME_NSEC, CTIME_NSEC, NLINK, UID, GID, BLKSIZE, MODE) = (13, 14, 15, 17, 18, 19, 20, 21)
RDEV = 4
"""Places in the unpacked form."""

SECOND = 1_000_000_000


def device_of(halves: int) -> int:
    """A device number as the kernel has it. On the wire it is the major number above the minor one, 32 bits each;
    os.makedev would not take all that a peer may send."""
    major, minor = halves >> 32, halves & 0xFFFF_FFFF
    return (major & ~0xFFF) << 32 | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12 | minor & 0xFF


def halves_of(device: int) -> int:
    """The other way round."""
    if not device:
        return 0
    major = device >> 32 & ~0xFFF | device >> 8 & 0xFFF
    minor = device >> 12 & 0xFFFF_FF00 | device & 0xFF
    return major << 32 | minor


class WireStat:
    """A stat result over the bytes that arrived."""

    __slots__ = ("_words", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._words: tuple[int, ...] | None = None

    @property
    def words(self) -> tuple[int, ...]:
        words = self._words
        if words is None:
            words = self._words = FORM.unpack(self.raw)
        return words

    @property
    def st_mode(self) -> int:
        return self.words[MODE]

    @property
    def st_nlink(self) -> int:
        return self.words[NLINK]

    @property
    def st_uid(self) -> int:
        return self.words[UID]

    @property
    def st_gid(self) -> int:
        return self.words[GID]

    @property
    def st_rdev(self) -> int:
        return device_of(self.words[RDEV])

    @property
    def st_size(self) -> int:
        return self.words[SIZE]

    @property
    def st_blksize(self) -> int:
        return self.words[BLKSIZE]

    @property
    def st_blocks(self) -> int:
        return self.words[BLOCKS]

    @property
    def st_atime_ns(self) -> int:
        return self.words[ATIME] * SECOND + self.words[ATIME_NSEC]

    @property
    def st_mtime_ns(self) -> int:
        return self.words[MTIME] * SECOND + self.words[MTIME_NSEC]

    @property
    def st_ctime_ns(self) -> int:
        return self.words[CTIME] * SECOND + self.words[CTIME_NSEC]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WireStat) and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"WireStat(mode={self.st_mode:o}, size={self.st_size}, nlink={self.st_nlink})"


def pack(iatt: Iatt | None) -> bytes:
    """148 bytes; zeros stand for attributes that are not known."""
    if iatt is None:
        return ZEROS
    st, gfid = iatt.st, iatt.gfid
    if type(st) is WireStat and not iatt.links_hidden and st.raw.startswith(gfid):
        return st.raw  # passed on as it came
    atime, atime_nsec = divmod(st.st_atime_ns, SECOND)
    mtime, mtime_nsec = divmod(st.st_mtime_ns, SECOND)
    ctime, ctime_nsec = divmod(st.st_ctime_ns, SECOND)
    return FORM.pack(
        gfid,
        FLAGS,
        int.from_bytes(gfid[8:], "big"),
        0,
        halves_of(st.st_rdev),
        st.st_size,
        st.st_blocks,
        0,
        0,
        atime,
        mtime,
        ctime,
        0,
        atime_nsec,
        mtime_nsec,
        ctime_nsec,
        0,
        st.st_nlink - iatt.links_hidden,
        st.st_uid,
        st.st_gid,
        st.st_blksize,
        st.st_mode,
    )


def unpack(raw: bytes) -> Iatt:
    return Iatt(Gfid(raw[:16]), WireStat(raw))


def unpack_known(raw: bytes) -> Iatt | None:
    """None where the attributes are not known: the gfid is null."""
    return None if raw.startswith(NULL_GFID) else Iatt(Gfid(raw[:16]), WireStat(raw))


# --- setattr: attributes and which of them count ---------------------------------------------------------------------

VALID = Struct(">i")
NEW_BYTES = IATT_BYTES + VALID.size
SET_MODE, SET_UID, SET_GID, SET_SIZE = 0x1, 0x2, 0x4, 0x8
SET_ATIME, SET_MTIME, SET_CTIME, ATIME_NOW, MTIME_NOW = 0x10, 0x20, 0x40, 0x80, 0x100


def pack_new(new: NewAttributes) -> bytes:
    """The iatt and the valid bits of setattr. `NOW_NS` is not for the wire: the sender puts its own time there."""
    valid = 0
    for bit, value in (
        (SET_MODE, new.mode),
        (SET_UID, new.uid),
        (SET_GID, new.gid),
        (SET_SIZE, new.size),
        (SET_ATIME, new.atime_ns),
        (SET_MTIME, new.mtime_ns),
        (SET_CTIME, new.ctime_ns),
    ):
        if value is not None:
            valid |= bit
    atime, atime_nsec = divmod(new.atime_ns or 0, SECOND)
    mtime, mtime_nsec = divmod(new.mtime_ns or 0, SECOND)
    ctime, ctime_nsec = divmod(new.ctime_ns or 0, SECOND)
    iatt = FORM.pack(
        *(NULL_GFID, 0, 0, 0, 0, new.size or 0, 0, 0, 0, atime, mtime, ctime, 0),
        *(atime_nsec, mtime_nsec, ctime_nsec, 0, 0, new.uid or 0, new.gid or 0, 0, new.mode or 0),
    )
    return iatt + VALID.pack(valid)


def unpack_new(raw: bytes) -> NewAttributes:
    st = WireStat(raw[:IATT_BYTES])
    (valid,) = VALID.unpack_from(raw, IATT_BYTES)
    return NewAttributes(
        mode=st.st_mode & 0o7777 if valid & SET_MODE else None,
        uid=st.st_uid if valid & SET_UID else None,
        gid=st.st_gid if valid & SET_GID else None,
        size=st.st_size if valid & SET_SIZE else None,
        atime_ns=_time(st.st_atime_ns, valid, SET_ATIME, ATIME_NOW),
        mtime_ns=_time(st.st_mtime_ns, valid, SET_MTIME, MTIME_NOW),
        ctime_ns=st.st_ctime_ns if valid & SET_CTIME else None,
    )


def _time(value: int, valid: int, given: int, now: int) -> int | None:
    """ "Now" with a time is the sender's own now: it counts, so that two bricks store the same."""
    if valid & given and (value or not valid & now):
        return value
    return NOW_NS if valid & now else None
