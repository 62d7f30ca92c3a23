"""The wire: `protocol/client` and `protocol/server` speak what GlusterFS 4.x and later speak.

Its files:

    client, attach              the client's life: connect, attach, come back
    calls, opened, held_locks   what it has on its way, open, and locked at its server
    lock_owners                 as whom it locks there, for clients of its own graph
    server, session, auth       the server; one connection of it; who may attach
    serving, served_fds         file operations for one client, and what it has open
    healers                     what healers of GlusterFS ask in ways of their own
    wire/                       the bytes, without I/O: `table.py` is the list of the operations
"""
