# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The questions to the catalogue: what there is of each class, as text that every major writes alike.

Each returns ``object`` (a relation or something else that stands alone), ``part`` (what belongs to it, else empty)
and ``definition``. A column which only later versions have is read by ``to_jsonb(row) ->> 'column'``.
"""

from __future__ import annotations

from .._pg.logins import MARKED

# No system schema, not the journal, no temporary one.
_OURS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cloudpg_migration')"


def _free(catalogue: str, oid: str = "c.oid") -> str:
    """No member of an extension."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = '{catalogue}'::regclass AND x.objid = {oid}"
        " AND x.deptype = 'e')"
    )


_RELATION = "format('%I.%I', n.nspname, c.relname)"
_OF_RELATION = "JOIN pg_class c ON c.oid = {} JOIN pg_namespace n ON n.oid = c.relnamespace"
_WHERE = f"WHERE {_OURS} AND {_free('pg_class')}"
_FUNCTION = "format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))"

SCHEMAS = f"""
    SELECT format('%I', n.nspname) AS object, '' AS part, '' AS definition FROM pg_namespace n
    WHERE {_OURS} AND {_free('pg_namespace', 'n.oid')}
"""

EXTENSIONS = """
    SELECT e.extname AS object, '' AS part, format('schema %I', n.nspname) AS definition
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
"""

EXTENSION_VERSIONS = "SELECT extname AS object, '' AS part, extversion AS definition FROM pg_extension"

TYPES = f"""
    SELECT format('%I.%I', n.nspname, t.typname) AS object, '' AS part, concat_ws(' ', t.typtype,
        (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
         FROM pg_enum e WHERE e.enumtypid = t.oid),
        (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
         FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
        (SELECT format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid),
        CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END, t.typdefault,
        CASE WHEN t.typnotnull THEN 'NOT NULL' END,
        (SELECT string_agg(format('%I %s', d.conname, pg_get_constraintdef(d.oid)), ', ' ORDER BY d.conname)
         FROM pg_constraint d WHERE d.contypid = t.oid AND d.contype <> 'n')) AS definition
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE {_OURS} AND {_free('pg_type', 't.oid')} AND t.typelem = 0
      AND (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c'))
"""

TABLES = f"""
    SELECT {_RELATION} AS object, '' AS part, concat_ws(' ',
        CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' ELSE 'foreign table' END,
        CASE WHEN c.relpersistence = 'u' THEN 'unlogged' END,
        CASE WHEN c.relkind = 'p' THEN 'by ' || pg_get_partkeydef(c.oid) END,
        (SELECT 'of ' || string_agg(format('%I.%I', pn.nspname, pc.relname), ', ' ORDER BY i.inhseqno)
         FROM pg_inherits i JOIN pg_class pc ON pc.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = pc.relnamespace
         WHERE i.inhrelid = c.oid),
        pg_get_expr(c.relpartbound, c.oid),
        CASE WHEN c.relrowsecurity THEN 'row security' END, CASE WHEN c.relforcerowsecurity THEN 'forced' END,
        'with ' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o)) AS definition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace {_WHERE} AND c.relkind IN ('r', 'p', 'f')
      AND c.relpersistence <> 't'
"""

# From 17 a partition shows the identity of its parent; it is named there only.
COLUMNS = f"""
    SELECT {_RELATION} AS object, a.attname AS part, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> t.typcollation THEN (
            SELECT format('collate %I.%I', ln.nspname, l.collname)
            FROM pg_collation l JOIN pg_namespace ln ON ln.oid = l.collnamespace WHERE l.oid = a.attcollation) END,
        CASE WHEN a.attnotnull THEN 'not null' END,
        CASE WHEN c.relispartition THEN NULL WHEN a.attidentity = 'a' THEN 'identity always'
             WHEN a.attidentity = 'd' THEN 'identity by default' END,
        CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END,
        'default ' || pg_get_expr(d.adbin, d.adrelid)) AS definition
    FROM pg_attribute a {_OF_RELATION.format('a.attrelid')} JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    {_WHERE} AND c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped
"""

INDEXES = f"""
    SELECT {_RELATION} AS object, x.relname AS part,
           pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid AND i.indisready THEN '' ELSE ' INVALID' END
           || CASE WHEN i.indimmediate THEN '' ELSE ' DEFERRABLE' END AS definition
    FROM pg_index i {_OF_RELATION.format('i.indrelid')} JOIN pg_class x ON x.oid = i.indexrelid
    {_WHERE} AND c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'm')
"""

# Not-null constraints are part of the column (18 lists them here too); those of partitions follow the parent's.
CONSTRAINTS = f"""
    SELECT {_RELATION} AS object, k.conname AS part, pg_get_constraintdef(k.oid) AS definition
    FROM pg_constraint k {_OF_RELATION.format('k.conrelid')}
    {_WHERE} AND k.contype NOT IN ('n', 't') AND k.conparentid = 0 AND c.relpersistence <> 't'
"""

SEQUENCES = f"""
    SELECT {_RELATION} AS object, '' AS part, concat_ws(' ', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'by',
        s.seqincrement, 'from', s.seqmin, 'to', s.seqmax, 'cache', s.seqcache, CASE WHEN s.seqcycle THEN 'cycle' END,
        (SELECT format('owned by %I.%I.%I', tn.nspname, tc.relname, a.attname)
         FROM pg_depend d JOIN pg_class tc ON tc.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = tc.relnamespace
         JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
         WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
           AND d.deptype IN ('a', 'i'))) AS definition
    FROM pg_sequence s {_OF_RELATION.format('s.seqrelid')} {_WHERE} AND c.relpersistence <> 't'
"""

FUNCTIONS = f"""
    SELECT {_FUNCTION} AS object, '' AS part, CASE WHEN p.prokind = 'a' THEN (
        SELECT concat_ws(' ', 'aggregate', a.aggtransfn::regproc, a.aggfinalfn::regproc, a.aggcombinefn::regproc,
            format_type(a.aggtranstype, NULL), a.agginitval, a.aggkind)
        FROM pg_aggregate a WHERE a.aggfnoid = p.oid) ELSE pg_get_functiondef(p.oid) END AS definition
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {_OURS} AND {_free('pg_proc', 'p.oid')}
      AND NOT EXISTS (SELECT FROM pg_depend y WHERE y.classid = 'pg_proc'::regclass AND y.objid = p.oid
                      AND y.deptype = 'i' AND y.refclassid = 'pg_type'::regclass)
"""

# The triggers of partitions follow the parent's.
TRIGGERS = f"""
    SELECT {_RELATION} AS object, t.tgname AS part, pg_get_triggerdef(t.oid)
           || CASE t.tgenabled WHEN 'D' THEN ' DISABLED' WHEN 'A' THEN ' ALWAYS' WHEN 'R' THEN ' REPLICA' ELSE '' END
           AS definition
    FROM pg_trigger t {_OF_RELATION.format('t.tgrelid')}
    {_WHERE} AND NOT t.tgisinternal AND coalesce(to_jsonb(t) ->> 'tgparentid', '0') = '0'
    UNION ALL
    SELECT format('%I', e.evtname), 'event trigger',
           concat_ws(' ', e.evtevent, e.evtfoid::regproc, e.evtenabled, e.evttags)
    FROM pg_event_trigger e WHERE {_free('pg_event_trigger', 'e.oid')}
"""

VIEWS = f"""
    SELECT {_RELATION} AS object, '' AS part, concat_ws(' ',
        CASE WHEN c.relkind = 'm' THEN 'materialized' END, CASE WHEN NOT c.relispopulated THEN 'empty' END,
        (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
         FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        'with ' || array_to_string(c.reloptions, ', '), pg_get_viewdef(c.oid)) AS definition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace {_WHERE} AND c.relkind IN ('v', 'm')
      AND c.relpersistence <> 't'
"""

RULES = f"""
    SELECT {_RELATION} AS object, r.rulename AS part, concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled) AS definition
    FROM pg_rewrite r {_OF_RELATION.format('r.ev_class')} {_WHERE} AND r.rulename <> '_RETURN'
"""

POLICIES = f"""
    SELECT {_RELATION} AS object, p.polname AS part, concat_ws(' ', p.polcmd,
        CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, 'to',
        (SELECT string_agg(CASE WHEN r = 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(r)) END, ', ' ORDER BY 1)
         FROM unnest(p.polroles) r),
        'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
        AS definition
    FROM pg_policy p {_OF_RELATION.format('p.polrelid')} {_WHERE}
"""

STATISTICS = f"""
    SELECT {_RELATION} AS object, s.stxname AS part, pg_get_statisticsobjdef(s.oid) AS definition
    FROM pg_statistic_ext s {_OF_RELATION.format('s.stxrelid')} {_WHERE}
"""

OPERATORS = f"""
    SELECT format('%I.%s(%s, %s)', n.nspname, o.oprname, format_type(o.oprleft, NULL), format_type(o.oprright, NULL))
           AS object, '' AS part, o.oprcode::text AS definition
    FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {_OURS} AND {_free('pg_operator', 'o.oid')}
    UNION ALL
    SELECT format('%s as %s', format_type(k.castsource, NULL), format_type(k.casttarget, NULL)), 'cast',
           concat_ws(' ', nullif(k.castfunc, 0)::regprocedure, k.castcontext, k.castmethod)
    FROM pg_cast k WHERE k.oid >= 16384 AND {_free('pg_cast', 'k.oid')}
    UNION ALL
    SELECT format('%I.%I', n.nspname, l.collname), 'collation',
           concat_ws(' ', l.collprovider, l.collcollate, l.collctype,
           coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale'), l.collisdeterministic)
    FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
    WHERE {_OURS} AND {_free('pg_collation', 'l.oid')}
"""

# What the owner has anyway isn't named; %(maintain)s is false where one of two sides doesn't know that right (17+).
# Who may connect is what pg_quiesce changes on the side that is closed: that is no difference, and what the migration
# grants to its own replication logins is none either (P50).
GRANTS = f"""
    SELECT object, grantee AS part, string_agg(right_, ', ' ORDER BY right_) AS definition
    FROM (
        SELECT object,
               CASE WHEN a.grantee = 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee,
               a.privilege_type || CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END AS right_
        FROM (
            SELECT format('schema %I', n.nspname) AS object, n.nspowner AS owner,
                   coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl
            FROM pg_namespace n WHERE {_OURS} AND n.nspname <> 'public' AND {_free('pg_namespace', 'n.oid')}
            UNION ALL
            SELECT CASE WHEN c.relkind = 'S' THEN 'sequence ' ELSE 'table ' END || {_RELATION}, c.relowner,
                   coalesce(c.relacl, acldefault(CASE WHEN c.relkind = 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            {_WHERE} AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't'
            UNION ALL
            SELECT format('column %s.%I', {_RELATION}, a.attname), c.relowner, a.attacl
            FROM pg_attribute a {_OF_RELATION.format('a.attrelid')} {_WHERE} AND NOT a.attisdropped
              AND a.attacl IS NOT NULL
            UNION ALL
            SELECT 'function ' || {_FUNCTION}, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS} AND {_free('pg_proc', 'p.oid')}
              AND NOT EXISTS (SELECT FROM pg_depend y WHERE y.classid = 'pg_proc'::regclass AND y.objid = p.oid
                              AND y.deptype = 'i' AND y.refclassid = 'pg_type'::regclass)
            UNION ALL
            SELECT format('type %I.%I', n.nspname, t.typname), t.typowner, t.typacl
            FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
            WHERE {_OURS} AND {_free('pg_type', 't.oid')} AND t.typacl IS NOT NULL
            UNION ALL
            SELECT 'database', d.datdba, coalesce(d.datacl, acldefault('d', d.datdba))
            FROM pg_database d WHERE d.datname = current_database()
            UNION ALL
            SELECT concat_ws(' ', 'default of', quote_ident(pg_get_userbyid(f.defaclrole)), 'for', f.defaclobjtype,
                             (SELECT format('in %I', d.nspname) FROM pg_namespace d WHERE d.oid = f.defaclnamespace)),
                   f.defaclrole, f.defaclacl
            FROM pg_default_acl f
        ) held, aclexplode(held.acl) a
        WHERE a.grantee <> held.owner AND (a.privilege_type <> 'MAINTAIN' OR %(maintain)s)
          AND NOT (held.object = 'database' AND a.privilege_type = 'CONNECT') AND NOT {MARKED.format('a.grantee')}
    ) rights GROUP BY 1, 2
"""

OWNERS = f"""
    SELECT {_RELATION} AS object, '' AS part, pg_get_userbyid(c.relowner)::text AS definition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    {_WHERE} AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't'
    UNION ALL
    SELECT {_FUNCTION}, '', pg_get_userbyid(p.proowner) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {_OURS} AND {_free('pg_proc', 'p.oid')}
    UNION ALL
    SELECT format('%I', n.nspname), 'schema', pg_get_userbyid(n.nspowner) FROM pg_namespace n
    WHERE {_OURS} AND n.nspname <> 'public' AND {_free('pg_namespace', 'n.oid')}
    UNION ALL
    SELECT format('%I.%I', n.nspname, t.typname), 'type', pg_get_userbyid(t.typowner)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE {_OURS} AND {_free('pg_type', 't.oid')} AND t.typelem = 0
      AND (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c'))
"""

COMMENTS = """
    SELECT o.identity AS object, o.type AS part, d.description AS definition
    FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) o
    WHERE d.objoid >= 16384 AND coalesce(o.schema, '') !~ '^(pg_|information_schema$|cloudpg_migration$)'
      AND o.type <> 'extension'
      AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = d.classoid AND x.objid = d.objoid AND x.deptype = 'e')
"""

_COMMON_SETTINGS = """
    'TimeZone', 'DateStyle', 'IntervalStyle', 'default_transaction_isolation', 'default_text_search_config',
    'standard_conforming_strings', 'server_encoding', 'lc_monetary', 'lc_numeric', 'lc_time',
    'array_nulls', 'bytea_output', 'backslash_quote', 'row_security', 'xmloption', 'search_path'
"""

# A session's own values would show what the comparison has set: what it would have had without. What pg_quiesce sets
# on the side that is closed is no difference.
SETTINGS = f"""
    SELECT s.name AS object, '' AS part, s.reset_val AS definition FROM pg_settings s
    WHERE s.name IN ({_COMMON_SETTINGS})
    UNION ALL
    SELECT CASE WHEN d.setrole = 0 THEN 'database' ELSE format('role %I', pg_get_userbyid(d.setrole)) END
           || CASE WHEN d.setrole <> 0 AND d.setdatabase <> 0 THEN ' in the database' ELSE '' END,
           split_part(one, '=', 1), substr(one, strpos(one, '=') + 1)
    FROM pg_db_role_setting d, unnest(d.setconfig) one
    WHERE (d.setdatabase = 0 OR d.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND split_part(one, '=', 1) <> 'default_transaction_read_only' AND NOT {MARKED.format('d.setrole')}
    UNION ALL
    SELECT 'database', 'encoding', concat_ws(' ', pg_encoding_to_char(encoding), datcollate, datctype)
    FROM pg_database WHERE datname = current_database()
"""

IDENTITIES = f"""
    SELECT {_RELATION} AS object, '' AS part, CASE c.relreplident WHEN 'i' THEN (
        SELECT 'using index ' || x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisreplident) WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' ELSE 'default' END
        AS definition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace {_WHERE} AND c.relkind IN ('r', 'p')
      AND c.relpersistence <> 't'
"""

PUBLICATIONS = r"""
    SELECT format('%I', p.pubname) AS object, '' AS part,
           concat_ws(' ', p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate) AS definition
    FROM pg_publication p WHERE p.pubname NOT LIKE 'cloudpg\_%'
    UNION ALL
    SELECT format('%I', s.subname), 'subscription',
           concat_ws(' ', s.subenabled, array_to_string(s.subpublications, ', '))
    FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
    WHERE d.datname = current_database() AND s.subname NOT LIKE 'cloudpg\_%'
"""
