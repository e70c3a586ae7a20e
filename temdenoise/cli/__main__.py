"""``python -m temdenoise.cli``."""

import sys

from . import main

sys.exit(main())
