"""AWS is told which collection asks, in the version that is released."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.cloudpg.migration.plugins.module_utils import _aws


def test_the_version_in_the_user_agent_is_the_collections():
    galaxy = yaml.safe_load((Path(__file__).parents[3] / "galaxy.yml").read_text())
    assert _aws.VERSION == galaxy["version"]
