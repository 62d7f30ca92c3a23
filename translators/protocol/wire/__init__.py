"""The GlusterFS 4.x wire protocol without I/O: bytes in, values out, and back. No socket, clock or task here."""
