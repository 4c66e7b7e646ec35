"""``python -m effnet_lib`` is the ``effnet`` command."""

import sys

from .cli import main

sys.exit(main())
