"""Let the tests import the collection from the checkout, beside those it builds on."""

from __future__ import annotations

import sys
from pathlib import Path

import hypothesis
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
# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")
