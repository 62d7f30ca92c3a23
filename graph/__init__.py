"""The model: translators, their fops and replies, options, events, link, lifecycle, fan-out and the four seams.

To be read in this order:

    fops, translator            the fop table, and the node that has it
    types, replies, errors      what fops take, answer and raise
    answers, tasks              how an answer is awaited, and one fop wound to many children
    events, options, capabilities   what a type says of itself
    registry, link, graph       from a spec to nodes that are started and stopped together
    seams                       time, chance, disk and network: the only ways out
    disk, pool, network, sockets, trio_sockets, keepalive   what lies behind them in production
    inodes                      what a node remembers of each object
    render                      pictures of a graph
"""

from .answers import Answers, Coming, Done, Fop, Outcome, fan_out, started, wind
from .capabilities import EVERYTHING, Capability, all_capabilities
from .errors import ProtocolError, fail, in_doubt, is_in_doubt
from .events import ChildChanged, ChildDown, ChildUp, Contention, Event, ParentDown, ParentUp
from .fops import FOPS, FopKind, fop
from .graph import Graph, children_first
from .inodes import Inodes
from .link import all_that_is_wrong, link
from .options import Option, Share, option, options_of
from .registry import Types, load_class
from .replies import (
    Acknowledged,
    Attributes,
    Changed,
    Checksums,
    Copied,
    Data,
    Entries,
    Entry,
    Locked,
    LookedUp,
    Made,
    Removed,
    Renamed,
    Sought,
    Space,
    Target,
    Volfile,
    Written,
    Xattrs,
)
from .seams import Seams
from .translator import State, Translator
from .types import (
    NOW_NS,
    NULL_GFID,
    ROOT_GFID,
    ROOT_LOC,
    SEEK_DATA,
    SEEK_HOLE,
    Buffer,
    Call,
    EntryLockCommand,
    Fd,
    Flock,
    Gfid,
    Iatt,
    Loc,
    LockCommand,
    LockType,
    NewAttributes,
    Stat,
    XattropKind,
    Xdata,
)

__all__ = [
    "EVERYTHING",
    "FOPS",
    "NOW_NS",
    "NULL_GFID",
    "ROOT_GFID",
    "ROOT_LOC",
    "SEEK_DATA",
    "SEEK_HOLE",
    "Acknowledged",
    "Answers",
    "Attributes",
    "Buffer",
    "Call",
    "Capability",
    "Changed",
    "Checksums",
    "ChildChanged",
    "ChildDown",
    "ChildUp",
    "Coming",
    "Contention",
    "Copied",
    "Data",
    "Done",
    "Entries",
    "Entry",
    "EntryLockCommand",
    "Event",
    "Fd",
    "Flock",
    "Fop",
    "FopKind",
    "Gfid",
    "Graph",
    "Iatt",
    "Inodes",
    "Loc",
    "LockCommand",
    "LockType",
    "Locked",
    "LookedUp",
    "Made",
    "NewAttributes",
    "Option",
    "Outcome",
    "ParentDown",
    "ParentUp",
    "ProtocolError",
    "Removed",
    "Renamed",
    "Seams",
    "Share",
    "Sought",
    "Space",
    "Stat",
    "State",
    "Target",
    "Translator",
    "Types",
    "Volfile",
    "Written",
    "XattropKind",
    "Xattrs",
    "Xdata",
    "all_capabilities",
    "all_that_is_wrong",
    "children_first",
    "fail",
    "fan_out",
    "fop",
    "in_doubt",
    "is_in_doubt",
    "link",
    "load_class",
    "option",
    "options_of",
    "started",
    "wind",
]
