# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an earlier task of a play would have made is no hindrance in check mode."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._findings import blocker, in_the_way


@pytest.mark.parametrize("id, check_mode, stays", [
    ("publication-missing", True, False), ("publication-missing", False, True),
    ("slot-missing", True, False), ("tables-missing", True, False), ("target-table-missing", True, False),
    ("target-not-empty", True, True), ("target-not-empty", False, True),
])
def test_only_check_mode_overlooks_what_an_earlier_task_makes(id, check_mode, stays):
    found = [blocker(id, "sales.orders", "a reason", "a cure")]
    assert in_the_way(found, check_mode) == (found if stays else [])
