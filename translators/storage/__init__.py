"""Leaves: where files live. `posix` is a directory of a file system, `memory` the same without one, for tests.

What they share, as both answer alike:

    leaf                                        the node, and its lock table
    lock_table, lock_queue, lock_requests       inodelk, entrylk and fcntl locks
    fd_locks                                    what whoever took locks remembers: protocol/client, cluster/afr
    permission, acl                             who may do what
    xattrop, heal_index                         counters of replication, and which objects bear some
    name_rules, ranges                          names and numbers that are refused
"""
