"""``python -m server``: run the server, or make a token."""

from __future__ import annotations

import sys

from server.cli import main

sys.exit(main(sys.argv[1:]))
