"""`python -m volgraph` is `volgraph`."""

import sys

from .command import main

sys.exit(main())
