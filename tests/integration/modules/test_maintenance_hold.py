"""AWS's own maintenance, held off a real API (R11)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cloudpg_sandbox.testing import wait_until

from ansible_collections.cloudpg.migration.plugins.module_utils._rds import journal as locks


@pytest.fixture
def hold(cloud, shop, run_module, held):
    """The module on the shop of this file, which is given its automatic upgrades back afterwards."""

    def hold(state="held", check=False, diff=False, **options):
        return run_module("rds_maintenance_hold", {
            "state": state, "instance": shop["DBInstanceIdentifier"], "journal": held, "wait_timeout": 30, **options,
        }, check, diff)

    yield hold
    upgrades(cloud, shop, True)


def upgrades(cloud, shop, value):
    cloud.rds.modify_db_instance(
        DBInstanceIdentifier=shop["DBInstanceIdentifier"], AutoMinorVersionUpgrade=value, ApplyImmediately=True
    )
    wait_until(lambda: cloud.instance(shop["DBInstanceIdentifier"])["AutoMinorVersionUpgrade"] is value)


def test_r11_upgrades_are_turned_off_and_put_back_and_each_only_once(cloud, shop, hold):
    with cloud.calls() as calls:
        planned = hold(check=True, diff=True)
    assert planned["changed"] and calls.changes == []
    assert planned["diff"] == {
        "before": {"auto_minor_version_upgrade": True}, "after": {"auto_minor_version_upgrade": False},
    }
    held = hold()
    assert held["changed"] and held["instance"]["auto_minor_version_upgrade"] is False
    with cloud.calls() as calls:
        assert hold()["changed"] is False
    assert calls.changes == []
    assert hold("released", check=True)["changed"]
    assert hold("released")["instance"]["auto_minor_version_upgrade"] is True
    with cloud.calls() as calls:
        assert hold("released")["changed"] is False
    assert calls.changes == []


def test_r11_upgrades_that_were_off_stay_off(cloud, shop, hold):
    upgrades(cloud, shop, False)
    assert hold()["changed"] is False
    assert hold("released")["changed"] is False


def test_r11_the_original_is_journalled_before_the_change(cloud, hold):
    with cloud.calls() as calls:
        hold()
    written = [
        number for number, entry in enumerate(calls.entries)
        if "source.auto_minor_version_upgrade" in str(entry["params"])
    ]
    assert written[0] < calls.operations.index("ModifyDBInstance")


def test_r11_somebody_who_turns_them_on_again_is_overruled(cloud, shop, hold):
    hold()
    upgrades(cloud, shop, True)
    assert hold()["changed"]
    assert hold("released")["changed"]


def test_r11_a_maintenance_window_that_is_near_is_a_warning(cloud, shop, hold):
    begin = locks.utc_now() + timedelta(hours=2)
    window = f"{begin:%a:%H:%M}-{begin + timedelta(minutes=30):%a:%H:%M}".lower()
    cloud.rds.modify_db_instance(
        DBInstanceIdentifier=shop["DBInstanceIdentifier"], PreferredMaintenanceWindow=window, ApplyImmediately=True
    )
    wait_until(lambda: cloud.instance(shop["DBInstanceIdentifier"])["PreferredMaintenanceWindow"] == window)
    [finding] = hold(check=True)["findings"]
    assert (finding["id"], finding["severity"], finding["object"]) == (
        "maintenance-window-near", "warning", shop["DBInstanceIdentifier"]
    )
    assert hold(check=True, hours=1)["findings"] == []


def test_an_instance_that_is_gone_has_nothing_to_put_back(hold):
    refused = hold(instance="no-such")
    assert refused["failed"] and "instance no-such doesn't exist" in refused["msg"]
    assert hold("released", instance="no-such")["changed"] is False


def test_r33_without_the_lock_nothing_is_changed(cloud, hold):
    with cloud.calls() as calls:
        refused = hold(journal={"migration": "orders", "generation": 1, "holder": "me", "group_id": "sg-1"})
    assert refused["failed"] and refused["code"] == "lease_lost"
    assert calls.changes == []
