# SPDX-License-Identifier: GPL-2.0
"""The lab: a Debian root, kernels, virtual machines, and the tests that run in them."""
