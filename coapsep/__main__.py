"""``python -m coapsep`` is the command ``coapsep``."""

from __future__ import annotations

import sys

from coapsep.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
