"""``python -m server``: run the server, make a token, import agents."""

from __future__ import annotations

import sys

from server.cli import main

sys.exit(main(sys.argv[1:]))
