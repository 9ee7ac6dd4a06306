# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """A PostgreSQL address, by libpq's own names; linters read these texts as they stand, so they are written out."""

    DOCUMENTATION = r"""
options:
  server:
    description:
      - The address of the PostgreSQL server, by libpq's own names.
      - Give at most one of O(server.password), O(server.passfile), O(server.secret_arn) and O(server.iam).
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
        description: The login. Left out, a O(server.secret_arn) names it, else libpq's own default.
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
        description: How far TLS is insisted on. Left out it is libpq's own default, or V(require) with O(server.iam).
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
        description: The Region for O(server.secret_arn) and O(server.iam); left out, the ARN's or the environment's.
        type: str
      profile:
        description: The AWS profile for O(server.secret_arn) and O(server.iam).
        type: str

attributes:
  action_group:
    description: Use C(group/cloudpg.migration.postgresql) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - cloudpg.migration.postgresql
requirements:
  - psycopg2 on the machine the module runs on
  - boto3 there, for O(server.secret_arn) and O(server.iam)
"""

    # Modules that log in where they may.
    OPTIONAL = r"""
options:
  server:
    description:
      - The address of the PostgreSQL server, by libpq's own names. Left out, nobody logs in.
      - Give at most one of O(server.password), O(server.passfile), O(server.secret_arn) and O(server.iam).
    type: dict
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
        description: The login. Left out, a O(server.secret_arn) names it, else libpq's own default.
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
        description: How far TLS is insisted on. Left out it is libpq's own default, or V(require) with O(server.iam).
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
        description: The Region for O(server.secret_arn) and O(server.iam); left out, the ARN's or the environment's.
        type: str
      profile:
        description: The AWS profile for O(server.secret_arn) and O(server.iam).
        type: str
"""

    # Modules that work on both sides at once.
    BOTH = r"""
options:
  source:
    description:
      - The address of the PostgreSQL server that is moved from, by libpq's own names.
      - Give at most one of O(source.password), O(source.passfile), O(source.secret_arn) and O(source.iam).
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
        description: The login. Left out, a O(source.secret_arn) names it, else libpq's own default.
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
        description: How far TLS is insisted on. Left out it is libpq's own default, or V(require) with O(source.iam).
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
        description: The Region for O(source.secret_arn) and O(source.iam); left out, the ARN's or the environment's.
        type: str
      profile:
        description: The AWS profile for O(source.secret_arn) and O(source.iam).
        type: str
  target:
    description:
      - The address of the PostgreSQL server that is moved to, by libpq's own names.
      - Give at most one of O(target.password), O(target.passfile), O(target.secret_arn) and O(target.iam).
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
        description: The login. Left out, a O(target.secret_arn) names it, else libpq's own default.
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
        description: How far TLS is insisted on. Left out it is libpq's own default, or V(require) with O(target.iam).
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
        description: The Region for O(target.secret_arn) and O(target.iam); left out, the ARN's or the environment's.
        type: str
      profile:
        description: The AWS profile for O(target.secret_arn) and O(target.iam).
        type: str

attributes:
  action_group:
    description: Use C(group/cloudpg.migration.postgresql) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - cloudpg.migration.postgresql
requirements:
  - psycopg2 on the machine the module runs on
  - boto3 there, for C(secret_arn) and C(iam) of either side
"""
