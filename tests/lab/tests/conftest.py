# SPDX-License-Identifier: GPL-2.0
"""Finds the package beside this folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
