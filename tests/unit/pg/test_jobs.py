# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What travelled with a physical copy: what is stopped, and what is resumed."""

from __future__ import annotations

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.errors import PgError
from ansible_collections.cloudpg.migration.plugins.module_utils._pg.jobs import Carried, plan_resume, plan_stop

SHOP = Carried("shop", ("from_erp", "from_crm"))
CRON = Carried("postgres", (), {1: True, 2: False, 3: True})


@pytest.mark.parametrize("found, actions", [
    ([], []),
    ([Carried("shop")], []),
    ([Carried("postgres", (), {2: False})], []),
    ([SHOP], ["disable subscription from_erp in database shop", "disable subscription from_crm in database shop"]),
    ([CRON], ["pause cron jobs 1, 3 in database postgres"]),
])
def test_r19_p44_everything_that_runs_is_stopped(found, actions):
    plan = plan_stop(found)
    assert [step.sentence for step in plan.steps] == actions
    assert plan.changed is bool(actions)


def test_the_diff_tells_what_ran_and_what_will():
    plan = plan_stop([SHOP, CRON])
    assert plan.before == {
        "shop": {"subscriptions": ["from_erp", "from_crm"], "jobs": []},
        "postgres": {"subscriptions": [], "jobs": [1, 3]},
    }
    assert plan.after == {name: {"subscriptions": [], "jobs": []} for name in ("shop", "postgres")}


@pytest.mark.parametrize("wanted, resumed", [([], None), ([1, 3], None), ([2, 3], [2]), ([2, 2], [2])])
def test_only_the_jobs_that_rest_are_resumed(wanted, resumed):
    plan = plan_resume([CRON], {"postgres": wanted})
    assert [step.args for step in plan.steps] == (
        [{"database": "postgres", "jobs": resumed, "active": True}] if resumed else []
    )
    assert plan.after["postgres"]["jobs"] == sorted({1, 3, *wanted})


@pytest.mark.parametrize("jobs", [{"postgres": [9]}, {"shop": [1]}, {"gone": [1]}])
def test_a_job_that_is_not_there_does_not_go_unnoticed(jobs):
    with pytest.raises(PgError, match="has no cron job"):
        plan_resume([SHOP, CRON], jobs)


def test_no_subscription_is_enabled_again():
    assert plan_resume([SHOP], {}).steps == ()
