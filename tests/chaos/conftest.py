"""The chaos program's modules lie beside each other, as for any program that is run by its path."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
