"""``python -m minidl.cli``, where the command ``minidl`` is not on the path."""

import sys

from minidl.cli.main import main

sys.exit(main())
