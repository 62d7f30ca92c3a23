"""cluster/unify: the files of many children in one tree."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import ClassVar, TypeVar

import attrs

from ....graph import (
    NULL_GFID,
    ROOT_LOC,
    Acknowledged,
    Attributes,
    Buffer,
    Call,
    Capability,
    Changed,
    Checksums,
    ChildChanged,
    ChildDown,
    ChildUp,
    Copied,
    Data,
    Entries,
    EntryLockCommand,
    Event,
    Fd,
    Flock,
    Gfid,
    Inodes,
    Loc,
    LockCommand,
    Locked,
    LockType,
    LookedUp,
    Made,
    NewAttributes,
    ParentUp,
    Removed,
    Renamed,
    Sought,
    Space,
    State,
    Target,
    Translator,
    Written,
    Xattrs,
    XattropKind,
    Xdata,
    fail,
    fan_out,
    option,
)
from ....graph import options as kinds
from . import attributes, directory_heal, listing, names
from .holders import Known, find, placed, placed_fd
from .intents import settled
from .schedulers import RoundRobin, Scheduler

R = TypeVar("R")
