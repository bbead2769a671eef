"""`python -m stillmotion` is `stillmotion`."""

from __future__ import annotations

import sys

from stillmotion.cli import main

if __name__ == "__main__":
    sys.exit(main())
