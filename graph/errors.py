"""Errors are `OSError` with an errno: callers write `except FileNotFoundError`, or test `error.errno`."""

from __future__ import annotations

import errno
import os


class ProtocolError(Exception):
    """A peer sent what the protocol does not allow. The connection is closed; no errno says this."""


def fail(code: int, subject: object = None) -> OSError:
    """The OSError of an errno, to be raised: `raise fail(errno.ENOENT, name)`."""
    if subject is None:
        return OSError(code, os.strerror(code))
    return OSError(code, os.strerror(code), subject)


def in_doubt(error: OSError) -> OSError:
    """The same error, which says besides that what it refuses may have happened, here or there. Such errors of several
    copies are never "the same", whatever their errno."""
    error.in_doubt = True  # type: ignore[attr-defined]
    return error


def is_in_doubt(error: OSError) -> bool:
    """A connection that was lost says nothing of what happened behind it either."""
    return error.errno == errno.ENOTCONN or getattr(error, "in_doubt", False)
