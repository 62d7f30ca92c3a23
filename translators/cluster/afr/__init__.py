"""cluster/afr: replication. To be read in this order:

How something is changed on all copies
    afr                  every fop: which are reads, which are changes, which are locks
    changing_contents    bytes: the changes of one file share a stream
    changing_names       names: so do those of one directory, where they may
    changing_attributes  attributes: each change by itself
    change               one change: wind the fop, and judge what came of it
    transaction          lock, pre-op, changes, post-op, unlock
    phases               how those are worked off, whoever is cancelled
    stream               an open transaction, and whose turn it is in it
    streams              which transactions stay open for the changes to come
    verdict              every decision, as pure functions
    changelog            what is on disk about who missed what

How it is read
    reading              from copies that nobody blames; what is known of them
    strict               from copies that a quorum agrees on
    choice               from which of several good ones
    own_keys             what of it is this afr's own business

What an afr is
    replica_set          its parts; its children that come and go
    settings             its options
    openings, open_fds   fds that are opened, and that follow children
    locks                on several children, for transactions and healers
    caller_locks         on all children, for whoever is above
    application_locks    fcntl locks that outlive a child's absence

Children that are not as they should be
    identities, known_children, accepting, advice    strangers, new disks, empty directories
    laggards             those that do not answer in time
    suspects, outage     those that have lost their power

How copies are healed
    crawl                what is to be healed, and when
    healing              one object: who is right, and the marks about it
    healing_contents, healing_names, healing_places, healing_moves    bytes and attributes; names; what stands where
    healing_below        what is in split-brain below a child, where another is right
    listing              a directory of one child
    report               what came of it
"""

from .afr import Afr
from .report import HealItem, HealReport

__all__ = ["Afr", "HealItem", "HealReport"]
