"""A translator of one's own, as a package of one's own."""

from volgraph import Translator
from volgraph.graph import Call, Data, Fd


class Upper(Translator):
    """Upper-case everything that is read.

        volume loud
          type features/upper
          subvolumes brick
        end-volume

    What is written stays as it is, below.
    """

    async def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Data:
        reply = await self.child.readv(call, fd, size, offset, flags)
        return reply.with_data(bytes(reply.data).upper())
