# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Independent clients agree with the sandbox: the AWS command line and the modules of amazon.aws."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from cloudpg_sandbox.testing import Sandbox

from .conftest import PASSWORD, USER, Cloud

BIN = pathlib.Path(sys.executable).parent


def run(sandbox: Sandbox, *arguments: str) -> str:
    """Run a program of the Python environment against the sandbox; returns what it printed."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_", "PYTEST_"))
    }
    answer = subprocess.run(
        [str(BIN / arguments[0]), *arguments[1:]], capture_output=True, text=True, check=False, timeout=120,
        env={**environment, **sandbox.env, "AWS_PAGER": "", "ANSIBLE_LOCALHOST_WARNING": "false"},
    )
    assert answer.returncode == 0, answer.stdout[-6000:] + answer.stderr[-3000:]
    return answer.stdout


CALLS: list[tuple[str, list[str]]] = [
    ("DBInstances[].DBInstanceIdentifier", ["rds", "describe-db-instances"]),
    ("DBEngineVersions[].DBParameterGroupFamily",
     ["rds", "describe-db-engine-versions", "--engine", "postgres", "--engine-version", "16"]),
    ("Account", ["sts", "get-caller-identity"]),
    ("SecurityGroups[?GroupName=='default'].GroupName", ["ec2", "describe-security-groups"]),
]
EXPECTED: dict[str, Any] = {
    "DBEngineVersions[].DBParameterGroupFamily": {"postgres16"},
    "Account": {"123456789012"},
    "SecurityGroups[?GroupName=='default'].GroupName": {"default"},
}


@pytest.mark.parametrize("query, arguments", CALLS)
def test_the_aws_command_line_reads_the_same(
    cloud: Cloud, shop: dict[str, Any], query: str, arguments: list[str]
) -> None:
    printed = json.loads(run(cloud.sandbox, "aws", *arguments, "--query", query, "--output", "json"))
    found = set(printed) if isinstance(printed, list) else {printed}
    expected = EXPECTED.get(query) or {one["DBInstanceIdentifier"] for one in cloud.rds.describe_db_instances()[
        "DBInstances"]}
    assert found == expected


def test_the_info_modules_of_amazon_aws_read_the_same(cloud: Cloud, shop: dict[str, Any]) -> None:
    printed = run(
        cloud.sandbox, "ansible", "localhost", "-e", f"ansible_python_interpreter={sys.executable}", "-o",
        "-m", "amazon.aws.rds_instance_info", "-a", f"db_instance_identifier={shop['DBInstanceIdentifier']}",
    )
    (facts,) = json.loads(printed.split("=>", 1)[1])["instances"]
    assert facts["endpoint"]["address"] == shop["Endpoint"]["Address"]
    assert facts["db_instance_arn"] == shop["DBInstanceArn"]


PLAY = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    group/amazon.aws.aws: {region: eu-west-1}
  vars:
    ansible_python_interpreter: "%(python)s"
    instance: &instance
      db_instance_identifier: by-ansible
      engine: postgres
      engine_version: "16.9"
      db_instance_class: db.t3.micro
      allocated_storage: 20
      master_username: "%(user)s"
      master_user_password: "%(password)s"
      db_name: shop
      vpc_security_group_ids: ["{{ group.group_id }}"]
      db_parameter_group_name: by-ansible
      backup_retention_period: 7
      wait: true
    cluster: &cluster
      cluster_id: by-ansible-replica
      engine: aurora-postgresql
      engine_version: "{{ created.engine_version }}"
      replication_source_identifier: "{{ created.db_instance_arn }}"
      vpc_security_group_ids: ["{{ group.group_id }}"]
      purge_security_groups: false
      wait: true
  tasks:
    - amazon.aws.ec2_security_group:
        name: by-ansible
        description: by ansible
        vpc_id: "%(vpc)s"
        rules: [{proto: tcp, ports: [5432], cidr_ip: 127.0.0.0/8}]
      register: group
    - amazon.aws.rds_instance_param_group: &parameters
        name: by-ansible
        engine: postgres16
        description: by ansible
        params: {work_mem: "8192"}
        immediate: true
        state: present
    - amazon.aws.rds_instance_param_group: *parameters
      register: parameters_again
    - amazon.aws.rds_instance: *instance
      register: created
    - amazon.aws.rds_instance: *instance
      register: created_again
    - amazon.aws.rds_cluster: *cluster
      register: replica
    - amazon.aws.rds_cluster: *cluster
      register: replica_again
    - amazon.aws.rds_cluster_info:
        cluster_id: by-ansible-replica
      register: clusters
    - ansible.builtin.assert:
        that:
          - created is changed
          - created.db_instance_status == 'available'
          - created_again is not changed
          - parameters_again is not changed
          - replica.status == 'available'
          - replica_again is not changed
          - clusters.clusters[0].replication_source_identifier == created.db_instance_arn
    - amazon.aws.rds_cluster:
        cluster_id: by-ansible-replica
        state: absent
        skip_final_snapshot: true
        wait: true
    - amazon.aws.rds_instance:
        db_instance_identifier: by-ansible
        state: absent
        skip_final_snapshot: true
        wait: true
    - amazon.aws.rds_instance_info:
        db_instance_identifier: by-ansible
      register: gone
    - ansible.builtin.assert:
        that: gone.instances == []
"""


def test_the_modules_of_amazon_aws_create_repeat_and_delete(cloud: Cloud, tmp_path: pathlib.Path) -> None:
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAY % {"python": sys.executable, "user": USER, "password": PASSWORD, "vpc": cloud.vpc})
    since = cloud.sandbox.mark()
    run(cloud.sandbox, "ansible-playbook", "-i", "localhost,", "-c", "local", str(playbook))
    calls = [entry["operation"] for entry in cloud.sandbox.log(since)]
    assert calls.count("CreateDBInstance") == calls.count("CreateDBCluster") == 1
    assert not [entry for entry in cloud.sandbox.log(since) if entry["status"] >= 500]
