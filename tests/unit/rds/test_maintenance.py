"""AWS's own maintenance, kept out of a migration."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.cloudpg.migration.plugins.module_utils._journal import Event
from ansible_collections.cloudpg.migration.plugins.module_utils._rds import maintenance
from ansible_collections.cloudpg.migration.plugins.module_utils._rds.errors import RdsError

from .builders import NOW, instance

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("window, begins, lasts", [
    ("mon:13:00-mon:14:00", 1 * HOUR, 1 * HOUR),
    ("mon:11:30-mon:12:30", -0.5 * HOUR, 1 * HOUR),
    ("mon:11:00-mon:12:00", 167 * HOUR, 1 * HOUR),
    ("sun:23:30-mon:00:30", 155.5 * HOUR, 1 * HOUR),
    ("sun:12:00-mon:13:00", -24 * HOUR, 25 * HOUR),
    ("Tue:00:00-Tue:00:30", 12 * HOUR, 0.5 * HOUR),
])
def test_r11_the_window_that_runs_or_comes_next(window, begins, lasts):
    begin, end = maintenance.next_window(window, NOW)
    assert (begin - NOW, end - begin) == (begins, lasts)


@pytest.mark.parametrize("window", ["", "mon:1:00-mon:2:00", "day:01:00-day:02:00"])
def test_what_is_no_window_is_an_error(window):
    with pytest.raises(ValueError, match="is no maintenance window"):
        maintenance.next_window(window, NOW)


@pytest.mark.parametrize("window, hours, words", [
    ("mon:13:00-mon:14:00", 24, "begins in 1.0 h"),
    ("mon:11:30-mon:12:30", 24, "runs now"),
    ("wed:13:00-wed:14:00", 24, None),
    ("wed:13:00-wed:14:00", 72, "begins in 49.0 h"),
    (None, 24, None),
])
def test_r11_a_window_that_is_near_is_a_warning(window, hours, words):
    found = maintenance.findings(instance(PreferredMaintenanceWindow=window), NOW, hours)
    assert len(found) == (words is not None)
    if words:
        assert (found[0].id, found[0].severity, found[0].fact) == ("maintenance-window-near", "warning", "R11")
        assert words in found[0].reason


def entry(was, object="orders"):
    return Event(maintenance.EVENT, object, was, not was, "2026-03-02T11:00:00+00:00", "me")


@pytest.mark.parametrize("present, changed", [(True, True), (False, False)])
def test_r11_held_turns_automatic_upgrades_off(present, changed):
    plan = maintenance.plan_held(instance(AutoMinorVersionUpgrade=present))
    assert plan.changed is changed
    assert plan.after == {"auto_minor_version_upgrade": False}


@pytest.mark.parametrize("seen, event, changed", [
    (instance(AutoMinorVersionUpgrade=False), entry(True), True),
    (instance(AutoMinorVersionUpgrade=True), entry(True), False),
    (instance(AutoMinorVersionUpgrade=False), entry(False), False),
    (instance(AutoMinorVersionUpgrade=False), None, False),
    (None, entry(True), False),
])
def test_r11_released_puts_back_what_the_journal_says(seen, event, changed):
    assert maintenance.plan_released(seen, event).changed is changed


def test_a_journal_about_another_instance_is_refused():
    with pytest.raises(RdsError, match="is about shop"):
        maintenance.plan_released(instance(AutoMinorVersionUpgrade=False), entry(True, "shop"))
