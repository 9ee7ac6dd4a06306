"""Let the tests import the collection from the checkout, beside those it builds on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

CHECKOUT = Path(__file__).parents[1]
COLLECTIONS = CHECKOUT / "build" / "collections"


def _link_checkout() -> None:
    link = COLLECTIONS / "ansible_collections" / "cloudpg" / "migration"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(Path("..", "..", "..", ".."), target_is_directory=True)


_link_checkout()
_AnsibleCollectionFinder(paths=[str(COLLECTIONS)])._install()
for extension in ("sandbox", "ledger", "demo"):
    sys.path.append(str(CHECKOUT / "extensions" / extension))

# They read from the same journey of two migrations, which takes minutes: one worker makes it for all of them.
JOURNEY = ("test_check_mode.py", "test_permissions.py", "test_verbs.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker, for they share their servers."""
    for item in items:
        name = "journey" if item.path.name in JOURNEY else str(item.path)
        item.add_marker(pytest.mark.xdist_group(name))
