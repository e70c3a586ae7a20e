"""``python -m temdenoise.cli``."""

import sys

from temdenoise.cli import main

if __name__ == "__main__":
    sys.exit(main())
