"""What every translator owes: contracts on raw fops, each a small function whose name says what must hold.

`contracts()` lists them, for a parametrised test of your own:

    @pytest.mark.anyio
    @pytest.mark.parametrize("contract", contracts(), ids=str)
    async def test_upper_keeps(contract):
        await contract.prove(Upper("upper", [Memory("brick")]))

`volgraph.testing.check` runs them all in one line. A translator may refuse a fop with EOPNOTSUPP where it says so: it
lists the capability in `loses` (or lacks it in `leaf_capabilities`); the fops that reserve, punch, search, checksum and
copy need no such declaration. Every other refusal breaks the contract. Contents written here are digits and capitals,
names and xattrs are anything.
"""

from __future__ import annotations

from .contract import Contract
from .contracts_attributes import attributes
from .contracts_contents import contents
from .contracts_directories import directories
from .contracts_locks import locks
from .contracts_names import names
from .contracts_permissions import permissions
from .contracts_sizes import sizes
from .contracts_xattrs import xattrs

CHAPTERS = (names, directories, contents, sizes, attributes, xattrs, permissions, locks)


def contracts(*, brick: bool = True) -> list[Contract]:
    """Every contract; `brick=False` leaves out those that a cluster does not keep."""
    return [each for chapter in CHAPTERS for each in chapter.contracts if brick or not each.brick]
