# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in a database, by its catalogue: the same questions to both sides, answers that can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .._pg.connection import Session
from .._pg.logins import MARKED

# The journal's own, on both sides; never part of what is moved.
JOURNAL_SCHEMA = "cloudpg_migration"

# Of each object: its oid, the relation it belongs to, words about it, and what it looks like where that can be
# compared between majors. Deparsed views, rules and bodies of SQL can't: every major writes them in its own way.
_CLASSES = {
    "pg_namespace": """
        SELECT oid, 0 AS relation, NULL AS words, NULL AS looks FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'""",
    # A child may have its columns in another order than its parent.
    "pg_class": """
        SELECT c.oid, coalesce(x.indrelid, c.oid) AS relation,
            concat_ws(' ', c.relkind, CASE WHEN x.indisprimary THEN 'primary' END,
                CASE WHEN x.indisreplident THEN 'identity' END,
                CASE WHEN c.relkind = 'm' AND c.relispopulated THEN 'populated' END) AS words,
            CASE
            WHEN c.relkind IN ('r', 'p', 'f') THEN concat_ws(' ', c.relpersistence, (
                SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                    CASE WHEN a.attcollation <> t.typcollation THEN (
                        SELECT format('%I.%I', o.nspname, l.collname) FROM pg_collation l
                        JOIN pg_namespace o ON o.oid = l.collnamespace WHERE l.oid = a.attcollation) END,
                    CASE WHEN a.attgenerated <> '' THEN 'generated ' || pg_get_expr(d.adbin, d.adrelid) END), ', '
                    ORDER BY CASE WHEN i.inhrelid IS NOT NULL THEN a.attname END, a.attnum)
                FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), pg_get_partkeydef(c.oid))
            WHEN c.relkind IN ('i', 'I') THEN
                pg_get_indexdef(c.oid) || CASE WHEN c.relkind = 'i' AND NOT x.indisvalid THEN ' (invalid)' ELSE '' END
            WHEN c.relkind = 'S' THEN (
                SELECT format('%s start %s increment %s min %s max %s cycle %s', seqtypid::regtype, seqstart,
                    seqincrement, seqmin, seqmax, seqcycle) FROM pg_sequence WHERE seqrelid = c.oid)
            END AS looks
        FROM pg_class c LEFT JOIN pg_index x ON x.indexrelid = c.oid
        LEFT JOIN LATERAL (SELECT inhrelid FROM pg_inherits WHERE inhrelid = c.oid LIMIT 1) i ON true
        WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I')
            AND c.relnamespace <> 'pg_toast'::regnamespace""",
    "pg_constraint": """
        SELECT k.oid, conrelid AS relation,
            concat_ws(' ', contype, CASE WHEN convalidated THEN 'valid' END,
                CASE WHEN c.relkind = 'p' THEN 'partitioned' END, CASE WHEN f.relkind = 'p' THEN 'to-partitioned' END,
                CASE WHEN x.indisreplident THEN 'identity' END
            ) AS words, replace(pg_get_constraintdef(k.oid), ' NOT VALID', '') AS looks
        FROM pg_constraint k LEFT JOIN pg_class c ON c.oid = conrelid LEFT JOIN pg_class f ON f.oid = confrelid
        LEFT JOIN pg_index x ON x.indexrelid = conindid AND contype IN ('p', 'u', 'x')
        WHERE k.oid >= 16384 AND contype IN ('c', 'f', 'p', 'u', 'x', 't')
            AND NOT (contype = 'f' AND conparentid <> 0)""",
    "pg_attrdef": """
        SELECT d.oid, adrelid AS relation, NULL AS words, pg_get_expr(adbin, adrelid) AS looks FROM pg_attrdef d
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE attgenerated = ''""",
    "pg_trigger": """
        SELECT oid, tgrelid AS relation, NULL AS words, pg_get_triggerdef(oid) || ' ' || tgenabled::text AS looks
        FROM pg_trigger WHERE NOT tgisinternal""",
    # A view that pg_dump has to make in two steps is a dummy until its rule has come.
    "pg_rewrite": r"""
        SELECT oid, ev_class AS relation, NULL AS words, NULL AS looks FROM pg_rewrite
        WHERE oid >= 16384 AND (rulename <> '_RETURN' OR pg_get_viewdef(ev_class) !~ '^\s*SELECT\s+NULL::')""",
    "pg_policy": """
        SELECT oid, polrelid AS relation, NULL AS words, concat_ws(' ', polcmd, polpermissive, (
            SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r) END, ',' ORDER BY 1)
            FROM unnest(polroles) r), pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) AS looks
        FROM pg_policy""",
    "pg_type": """
        SELECT oid, 0 AS relation, NULL AS words, CASE typtype
            WHEN 'e' THEN (SELECT string_agg(quote_literal(enumlabel), ',' ORDER BY enumsortorder)
                           FROM pg_enum WHERE enumtypid = t.oid)
            WHEN 'd' THEN concat_ws(' ', format_type(typbasetype, typtypmod), typnotnull, typdefault)
            WHEN 'c' THEN (SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', '
                           ORDER BY attnum) FROM pg_attribute
                           WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped) END AS looks
        FROM pg_type t WHERE oid >= 16384 AND typtype <> 'p' AND typcategory <> 'A'
            AND (typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = typrelid AND relkind = 'c'))""",
    "pg_proc": """
        SELECT oid, 0 AS relation, NULL AS words, concat_ws(' ', prokind, provolatile, prosecdef, proisstrict,
            pg_get_function_result(oid), md5(prosrc), proconfig::text) AS looks
        FROM pg_proc WHERE oid >= 16384""",
    "pg_statistic_ext": "SELECT oid, stxrelid AS relation, NULL AS words, NULL AS looks FROM pg_statistic_ext",
    "pg_user_mapping": "SELECT umid AS oid, 0 AS relation, NULL AS words, NULL AS looks FROM pg_user_mappings",
    "pg_default_acl": """
        SELECT oid, 0 AS relation, NULL AS words, (
            SELECT string_agg(concat_ws(' ', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END,
                privilege_type, is_grantable), ', ' ORDER BY grantee = 0, pg_get_userbyid(grantee), privilege_type)
            FROM aclexplode(defaclacl) WHERE privilege_type <> 'MAINTAIN') AS looks
        FROM pg_default_acl""",
    "pg_extension": "SELECT oid, 0 AS relation, extname AS words, NULL AS looks FROM pg_extension",
    **{
        name: f"SELECT oid, 0 AS relation, NULL AS words, NULL AS looks FROM {name} WHERE oid >= 16384"
        for name in (
            "pg_collation", "pg_conversion", "pg_operator", "pg_opclass", "pg_opfamily", "pg_cast", "pg_ts_config",
            "pg_ts_dict", "pg_ts_parser", "pg_ts_template", "pg_foreign_data_wrapper", "pg_foreign_server",
            "pg_event_trigger", "pg_language", "pg_transform", "pg_am",
        )
    },
}
_OBJECTS = " UNION ALL ".join(
    f"""
    SELECT '{name}'::regclass::oid::bigint AS classid, o.oid::bigint AS oid, i.type, i.identity,
        CASE WHEN c.oid IS NOT NULL THEN format('%I.%I', n.nspname, c.relname) END AS relation,
        o.words::text AS words, o.looks::text AS looks
    FROM ({select}) o CROSS JOIN LATERAL pg_identify_object('{name}'::regclass, o.oid, 0) i
    LEFT JOIN pg_class c ON c.oid = o.relation LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
    """
    for name, select in _CLASSES.items()
)

# What an object has become part of, or has switched on, by a statement of its own.
_LINKS = """
    SELECT CASE WHEN c.relkind IN ('i', 'I') THEN 'INDEX ATTACH' ELSE 'TABLE ATTACH' END AS kind,
        n.nspname::text AS schema, c.relname::text AS name, format('%I.%I', m.nspname, p.relname) AS whole, '' AS part
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace m ON m.oid = p.relnamespace
    WHERE c.relispartition OR c.relkind IN ('i', 'I')
    UNION ALL
    SELECT 'SEQUENCE OWNED BY', n.nspname, c.relname, format('%I.%I', m.nspname, p.relname), a.attname::text
    FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    JOIN pg_class p ON p.oid = d.refobjid JOIN pg_namespace m ON m.oid = p.relnamespace
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    UNION ALL
    SELECT 'ROW SECURITY', n.nspname, c.relname, 'on', ''
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relrowsecurity
"""

_COMMENTS = """
    SELECT i.type, i.identity, string_agg(objsubid || ' ' || quote_literal(description), ' ' ORDER BY (
        SELECT attname FROM pg_attribute WHERE classoid = 'pg_class'::regclass AND attrelid = objoid
            AND attnum = objsubid)) AS value
    FROM pg_description CROSS JOIN LATERAL pg_identify_object(classoid, objoid, 0) i
    WHERE objoid >= 16384 OR classoid = 'pg_namespace'::regclass GROUP BY 1, 2
"""

# The owner has all rights on both sides; MAINTAIN exists since 17, and a GRANT of it says so by itself.
_GRANTS = " UNION ALL ".join(
    f"""
    SELECT i.type, i.identity, {column} AS part, CASE g.grantee WHEN 0 THEN 'PUBLIC'
        ELSE pg_get_userbyid(g.grantee)::text END AS grantee, g.privilege_type AS privilege, g.is_grantable AS grantable
    FROM {source} CROSS JOIN LATERAL aclexplode({acl}) g
    CROSS JOIN LATERAL pg_identify_object('{name}'::regclass, o.oid, 0) i
    WHERE g.grantee <> {owner} AND g.privilege_type <> 'MAINTAIN' AND {condition}
    """
    for name, source, acl, owner, column, condition in (
        ("pg_namespace", "pg_namespace o", "o.nspacl", "o.nspowner", "''", "true"),
        ("pg_class", "pg_class o", "o.relacl", "o.relowner", "''", "o.oid >= 16384"),
        ("pg_class", "pg_class o JOIN pg_attribute a ON a.attrelid = o.oid AND NOT a.attisdropped", "a.attacl",
         "o.relowner", "a.attname::text", "o.oid >= 16384"),
        ("pg_proc", "pg_proc o", "o.proacl", "o.proowner", "''", "o.oid >= 16384"),
        ("pg_type", "pg_type o", "o.typacl", "o.typowner", "''", "o.oid >= 16384"),
        ("pg_language", "pg_language o", "o.lanacl", "o.lanowner", "''", "true"),
        ("pg_foreign_data_wrapper", "pg_foreign_data_wrapper o", "o.fdwacl", "o.fdwowner", "''", "true"),
        ("pg_foreign_server", "pg_foreign_server o", "o.srvacl", "o.srvowner", "''", "true"),
    )
)
# What everybody may do with an object whose rights nobody has touched.
_UNTOUCHED = """
    SELECT i.type, i.identity, '' AS part, 'PUBLIC' AS grantee, right_name AS privilege, false AS grantable FROM (
        SELECT 'pg_proc'::regclass AS class, oid, 'EXECUTE' AS right_name FROM pg_proc
        WHERE oid >= 16384 AND proacl IS NULL
        UNION ALL SELECT 'pg_type', oid, 'USAGE' FROM pg_type
        WHERE oid >= 16384 AND typacl IS NULL AND typrelid = 0 AND typcategory <> 'A'
        UNION ALL SELECT 'pg_type', t.oid, 'USAGE' FROM pg_type t JOIN pg_class c ON c.oid = typrelid
        WHERE t.oid >= 16384 AND typacl IS NULL AND c.relkind = 'c'
        UNION ALL SELECT 'pg_language', oid, 'USAGE' FROM pg_language WHERE lanacl IS NULL
    ) o CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) i
"""

_PASSING = f"SELECT rolname FROM pg_roles r WHERE {MARKED.format('r.oid')}"

Key = tuple[str, str]


class Right(NamedTuple):
    """A privilege somebody has on an object, or on a column (``part``) of it."""

    grantee: str
    privilege: str
    part: str = ""
    grantable: bool = False


@dataclass(frozen=True)
class Thing:
    """One object. ``words``: a relation's kind and an index's uses, a constraint's type and state (r, p, primary,
    identity, populated, f, valid, partitioned …). ``relation`` is the ``schema.table`` it belongs to, quoted as SQL
    wants it. ``looks`` is None where two majors couldn't be compared."""

    type: str
    identity: str
    relation: str | None = None
    words: frozenset[str] = frozenset()
    looks: str | None = None

    @property
    def key(self) -> Key:
        return self.type, self.identity


@dataclass(frozen=True)
class Catalogue:
    """All objects of a database: ``things`` by (class, oid), and what isn't an object of its own.

    ``links`` are (kind, schema, name) -> (the whole it is part of, its column): partitions, indexes of partitions,
    sequences of columns, tables whose row security is on.
    """

    version: int = 0
    things: Mapping[tuple[int, int], Thing] = field(default_factory=dict)
    links: Mapping[tuple[str, str, str], tuple[str, str]] = field(default_factory=dict)
    comments: Mapping[Key, str] = field(default_factory=dict)
    grants: Mapping[Key, frozenset[Right]] = field(default_factory=dict)
    # Replication logins of a migration, whose rights go with it.
    passing: frozenset[str] = frozenset()

    def by_key(self) -> dict[Key, Thing]:
        """The things by what they are called, which is the same on both sides."""
        return {thing.key: thing for thing in self.things.values()}


def observe(session: Session) -> Catalogue:
    """Read the session's database, five statements whatever its size; raises PgError."""
    grants: dict[Key, set[Right]] = {}
    passing = frozenset(row["rolname"] for row in session.rows(_PASSING))
    for row in session.rows(f"{_GRANTS} UNION ALL {_UNTOUCHED}"):
        if row["grantee"] in passing:
            continue
        grants.setdefault((row["type"], row["identity"]), set()).add(
            Right(row["grantee"], row["privilege"], row["part"], row["grantable"])
        )
    return Catalogue(
        session.value("SELECT current_setting('server_version_num')::int"),
        {
            (row["classid"], row["oid"]): Thing(
                row["type"], row["identity"], row["relation"], frozenset((row["words"] or "").split()), row["looks"]
            )
            for row in session.rows(_OBJECTS)
        },
        {(row["kind"], row["schema"], row["name"]): (row["whole"], row["part"])
         for row in session.rows(_LINKS)},
        {(row["type"], row["identity"]): row["value"] for row in session.rows(_COMMENTS)},
        {key: frozenset(values) for key, values in grants.items()},
        passing,
    )
