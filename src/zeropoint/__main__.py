"""`python -m zeropoint` is the command `zeropoint`."""

import sys

from zeropoint.cli import main

sys.exit(main())
