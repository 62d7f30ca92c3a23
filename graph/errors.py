"""Errors are `OSError` with an errno: callers write `except FileNotFoundError`, or test `error.errno`."""

from __future__ import annotations

import os


class ProtocolError(Exception):
    """A peer sent what the protocol does not allow. The connection is closed; no errno says this."""


def fail(code: int, subject: object = None) -> OSError:
    """The OSError of an errno, to be raised: `raise fail(errno.ENOENT, name)`."""
    if subject is None:
        return OSError(code, os.strerror(code))
    return OSError(code, os.strerror(code), subject)
