"""A physical copy on another libc is found before it is opened."""

from __future__ import annotations

from ansible_collections.cloudpg.migration.plugins.module_utils._pg.collations import collation_findings


def test_p42_other_collation_versions_are_a_blocker_that_must_be_accepted_by_name():
    copy = {"databases": [
        {"name": "shop", "collation_mismatches": ["default", "pg_catalog.\"de_DE\""]},
        {"name": "crm", "collation_mismatches": []},
    ]}
    (found,) = collation_findings(copy, "orders-aurora")
    assert (found.id, found.severity, found.object, found.acknowledgeable) == (
        "collation-changed", "blocker", "orders-aurora/shop", True,
    )
    assert "default" in found.reason and "REINDEX" in found.cure


def test_p42_equal_versions_are_no_finding():
    assert collation_findings({"databases": [{"name": "shop", "collation_mismatches": []}]}, "x") == []
