"""The wire: client and server."""
