# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python extensions/ledger: proves that a migration lost no acknowledged write."""
from __future__ import annotations

import sys

from cloudpg_ledger.cli import main

if __name__ == "__main__":
    sys.exit(main())
