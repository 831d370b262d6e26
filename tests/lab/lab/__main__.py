# SPDX-License-Identifier: GPL-2.0
"""What `run` and the Debian root start."""

from lab.cli import main

main()
