"""The checks compare results as tests/cuda does, so its modules must be found."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "cuda"))
