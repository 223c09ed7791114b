"""What every test may use."""

import sys
from pathlib import Path

# `world` and its like are beside the integration tests, which are not a package
sys.path.insert(0, str(Path(__file__).parent / "integration"))
