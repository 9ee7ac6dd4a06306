# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The address of a pooler's console, which speaks PostgreSQL's protocol; written out as those of the servers."""

    DOCUMENTATION = r"""
options:
  admin:
    description:
      - The address of PgBouncer's admin console, by libpq's own names.
      - Give at most one of O(admin.password), O(admin.passfile), O(admin.secret_arn) and O(admin.iam).
    type: dict
    required: true
    suboptions:
      host:
        description:
          - The host to connect to.
          - It may be null in check mode only, for a server that isn't there yet.
        type: str
      port:
        description: The port to connect to.
        type: int
        default: 5432
      user:
        description: The login. Left out, a O(admin.secret_arn) names it, else libpq's own default.
        type: str
      password:
        description: The password.
        type: str
      passfile:
        description: A file of passwords as libpq reads it, on the machine the module runs on.
        type: path
      dbname:
        description: The database to connect to first, V(postgres) when left out.
        type: str
      sslmode:
        description: How far TLS is insisted on. Left out it is libpq's own default, or V(require) with O(admin.iam).
        type: str
        choices: [disable, allow, prefer, require, verify-ca, verify-full]
      sslrootcert:
        description: The file with the certificates of the authorities to trust.
        type: path
      sslcert:
        description: The file with the client's certificate.
        type: path
      sslkey:
        description: The file with the client's key.
        type: path
      connect_timeout:
        description: Seconds a connection may take.
        type: int
        default: 10
      options:
        description: Command-line options for the server, as libpq sends them (V(-c statement_timeout=60s)).
        type: str
      secret_arn:
        description: A secret of AWS Secrets Manager, as RDS writes it, which holds user and password.
        type: str
      iam:
        description: Whether to log in by an IAM token of AWS.
        type: bool
        default: false
      region:
        description: The Region for O(admin.secret_arn) and O(admin.iam); left out, the ARN's or the environment's.
        type: str
      profile:
        description: The AWS profile for O(admin.secret_arn) and O(admin.iam).
        type: str
"""
