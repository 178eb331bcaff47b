"""``python -m camfast``: the same as the command ``camfast``."""

import sys

from camfast.cli import main

if __name__ == "__main__":
    sys.exit(main())
