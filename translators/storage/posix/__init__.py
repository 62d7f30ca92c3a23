"""storage/posix: a brick on a local file system, in GlusterFS's own format."""

from .posix import Posix

__all__ = ["Posix"]
