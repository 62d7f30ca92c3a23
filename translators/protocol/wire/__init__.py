"""The GlusterFS 4.x wire protocol without I/O: bytes in, values out, and back. No socket, clock or task here.

Its files:

    table, kinds, procedures, layout    the file operations: as rows, and compiled into as few calls as possible
    xdr, dicts, iatt, listing           what messages are made of
    records, rpc, handshake             how messages stand in a stream, who calls, and what is said before any operation
"""
