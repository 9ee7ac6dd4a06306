# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the entries of a dump to statements: what each makes, for which table, in which section, and is it there.

Everything here is pure. The way through it::

    entries = toc.parse(programs.dump(source, major))            # text -> entries
    there = catalogue.observe(source_session)                    # what the oids are
    chosen = choice.choose(entries, there, choice.Wish(...))     # without what can't or mustn't travel
    todo = parts.statements(chosen.entries, there, target_version)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._pg.errors import PgError
from . import toc
from .catalogue import Catalogue, Key, Thing
from .toc import Entry

PRE_DATA, PRIMARY_KEYS, POST_DATA = SECTIONS = ("pre-data", "primary-keys", "post-data")
LINKS = ("TABLE ATTACH", "INDEX ATTACH", "SEQUENCE OWNED BY", "ROW SECURITY")
_AFTER_DATA = {
    "CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT", "INDEX", "INDEX ATTACH", "TRIGGER", "RULE", "POLICY",
    "ROW SECURITY", "STATISTICS", "EVENT TRIGGER", "DEFAULT ACL",
}
_NOT_NULL = re.compile(
    r'^    (?:CONSTRAINT (?:"(?:[^"]|"")+"|\S+) )?NOT NULL ("(?:[^"]|"")+"|\S+?)(?: NO INHERIT)?(,?)$', re.MULTILINE
)
_MAPPING = re.compile(r'CREATE USER MAPPING FOR ("(?:[^"]|"")+"|\S+) SERVER ("(?:[^"]|"")+"|[^\s;]+)')
_CONSTRAINT_NAME = re.compile(r'ADD CONSTRAINT ("(?:[^"]|"")+"|\S+) ')


@dataclass(frozen=True)
class Statement:
    """SQL that makes one object (one transaction, though it may be several statements: its owner, its identity).

    ``text`` is a string, or made by ``psycopg2.sql``.
    ``table`` is the ``schema.table`` it belongs to (quoted as SQL wants it), None for what belongs to none. ``check``
    says how its presence is seen (``thing``, ``link``, ``comment``, ``grants``, ``valid``, ``populated``), ``key``
    and ``value`` of what. ``secret``: the text may hold a password and is shown nowhere.
    """

    type: str
    sentence: str
    text: Any
    section: str
    table: str | None = None
    check: str = "thing"
    key: tuple[str, ...] = ()
    value: Any = None
    words: frozenset[str] = frozenset()
    secret: bool = False


def is_there(one: Statement, target: Catalogue, by_key: Mapping[Key, Thing]) -> bool:
    """Whether the target has what the statement makes; ``by_key`` is ``target.by_key()``."""
    if one.check == "link":
        return target.links.get(one.key) == one.value
    if one.check == "comment":
        return target.comments.get(one.key) == one.value
    if one.check == "grants":
        wanted, have = one.value, target.grants.get(one.key, frozenset())
        # A right beyond the source's is the target's own affair, unless everybody has it.
        return one.key in by_key and wanted <= have and not any(more.grantee == "PUBLIC" for more in have - wanted)
    found = by_key.get(one.key)
    if one.check in ("valid", "populated"):
        return found is not None and one.check in found.words
    if one.type == "DEFAULT ACL":
        return found is not None and found.looks == one.value
    return found is not None


def differences(todo: Iterable[Statement], target: Catalogue) -> list[tuple[Statement, str, str]]:
    """Objects that both sides have and that look different: (statement, source's look, target's look)."""
    by_key = target.by_key()
    found = []
    for one in todo:
        theirs = by_key.get(one.key) if one.check == "thing" and one.type != "DEFAULT ACL" else None
        if theirs and one.value is not None and theirs.looks is not None and theirs.looks != one.value:
            found.append((one, str(one.value), theirs.looks))
    return found


def statements(entries: Sequence[Entry], source: Catalogue, target_version: int) -> list[Statement]:
    """The statements for a target of ``target_version`` (server_version_num), ordered so that they can be run.

    Foreign keys come in two: NOT VALID, then VALIDATE, where the source's is valid (P38). Raises PgError for an entry
    whose object the catalogue didn't show: somebody changes the schema meanwhile (P50).
    """
    made: list[Statement] = []
    by_id = {entry.id: entry for entry in entries}
    indexes = {_names(thing): thing for thing in source.things.values() if thing.type == "index"}
    sections: dict[int, str] = {}
    for entry in entries:
        made += _made_of(entry, source, target_version, by_id, indexes, sections)
    rights = [one for one in made if one.check == "grants" and one.type == "ACL SCHEMA"]
    made = [one for one in made if one not in rights] if rights else made
    ordered = []
    for one in made:
        ordered.append(one)
        # Who may create in a schema must be able to before something there is made his.
        ordered += [right for right in rights if one.check == "thing" and right.key == one.key]
    placed = {id(one) for one in ordered}
    ordered += [replace(right, section=PRE_DATA) for right in rights if id(right) not in placed]
    ordered += [
        Statement(
            "MATERIALIZED VIEW DATA", f"refresh materialized view {one.key[1]}",
            f"REFRESH MATERIALIZED VIEW {one.table};", POST_DATA, one.table, "populated", one.key,
        )
        for one in made if one.type == "MATERIALIZED VIEW" and one.check == "thing" and "populated" in one.words
    ]
    return [one for section in SECTIONS for one in ordered if one.section == section]


def _names(thing: Thing) -> tuple[str, str]:
    return toc.split_name(thing.identity)


def _made_of(
    entry: Entry, source: Catalogue, target_version: int, by_id: Mapping[int, Entry],
    indexes: Mapping[tuple[str, str], Thing], sections: dict[int, str],
) -> list[Statement]:
    if entry.type in ("COMMENT", "ACL"):
        return _about(entry, source, by_id, sections)
    section = POST_DATA if entry.type in _AFTER_DATA else PRE_DATA
    if entry.type in LINKS:
        return [_link(entry, source, section, by_id, indexes)]
    thing = thing_of(entry, source)
    if entry.type in ("CONSTRAINT", "INDEX") and thing.words & {"p", "primary", "identity"}:
        section = PRIMARY_KEYS
    sections[entry.id] = section
    one = Statement(
        entry.type, f"create {thing.type} {thing.identity}", entry.text, section, thing.relation, "thing", thing.key,
        thing.looks, thing.words, entry.type == "USER MAPPING",
    )
    if entry.type == "FK CONSTRAINT":
        return _foreign_key(one, target_version)
    if entry.type == "TABLE" and target_version < 180000:
        return [replace(one, text=_plain_not_null(one))]
    return [one]


def thing_of(entry: Entry, source: Catalogue) -> Thing:
    """The object an entry makes, as the source's catalogue has it; raises PgError when it isn't there (any more)."""
    found = source.things.get((entry.classid, entry.oid))
    mapping = _MAPPING.match(entry.text) if entry.type == "USER MAPPING" else None
    if mapping:
        # The only entry of an object that doesn't say which.
        user, server = (toc.unquote(name) for name in mapping.groups())
        key = ("user mapping", f"{user} on server {server}")
        found = next((thing for thing in source.things.values() if _bare(thing.key) == key), None)
    if found:
        return found
    raise _vanished(entry)


def _vanished(entry: Entry) -> PgError:
    return PgError(
        f"{entry.type} {entry.name} was in pg_dump's output and not in the catalogue: the source's schema is being "
        "changed meanwhile (P50). Cure: let no DDL run on the source, then run again."
    )


def _bare(key: Key) -> Key:
    return key[0], key[1].replace('"', "") if key[0] == "user mapping" else key[1]


def _link(
    entry: Entry, source: Catalogue, section: str, by_id: Mapping[int, Entry],
    indexes: Mapping[tuple[str, str], Thing],
) -> Statement:
    if entry.type == "ROW SECURITY":
        table = thing_of(by_id[entry.depends[0]], source)
        names, relation, said = _names(table), table.relation, f"enable row security of {table.identity}"
    else:
        names = toc.subject(entry)
        index = indexes.get(names)
        relation = index.relation if index else None
        if index and "primary" in index.words:
            section = PRIMARY_KEYS
        whole, part = source.links.get((entry.type, *names), ("", ""))
        if entry.type == "SEQUENCE OWNED BY":
            said = f"let sequence {'.'.join(names)} belong to column {part} of {whole}"
        else:
            said = f"attach {'.'.join(names)} to {whole}"
    key = (entry.type, *names)
    if key not in source.links:
        raise _vanished(entry)
    return Statement(entry.type, said, entry.text, section, relation, "link", key, source.links[key])


def _about(
    entry: Entry, source: Catalogue, by_id: Mapping[int, Entry], sections: Mapping[int, str]
) -> list[Statement]:
    """Comments and grants are in the section of what they are about."""
    target = next((by_id[number] for number in entry.depends if number in by_id), None)
    key: Key = thing_of(target, source).key if target else ("schema", "public")
    section = sections.get(target.id, PRE_DATA) if target else PRE_DATA
    relation = thing_of(target, source).relation if target else None
    if entry.type == "COMMENT":
        return [Statement(
            "COMMENT", f"comment on {' '.join(key)}", entry.text, section, relation, "comment", key,
            source.comments.get(key),
        )]
    kind = "ACL SCHEMA" if key[0] == "schema" else "ACL"
    text = _lasting(entry.text, source.passing)
    if not text.strip():
        return []
    return [Statement(
        kind, f"grant rights on {' '.join(key)}", text, section, relation, "grants", key,
        source.grants.get(key, frozenset()),
    )]


def _lasting(text: str, passing: Collection[str]) -> str:
    """Grants without those to replication logins of a migration, which aren't on the target: pg_dump writes a line for
    each grantee, and such a name needs no quotes."""
    ends = tuple(f" TO {login};" for login in passing)
    return "".join(line for line in text.splitlines(keepends=True) if not line.rstrip().endswith(ends))


def _foreign_key(one: Statement, target_version: int) -> list[Statement]:
    """NOT VALID, then VALIDATE; plainly where the target can't (P38: partitioned referencing tables up to 17).

    Of a reference *to* a partitioned table VALIDATE leaves the parts for the partitions unvalidated up to 17.
    """
    partitioned = one.words & {"partitioned", "to-partitioned"}
    plain = "valid" not in one.words or (partitioned and target_version < 180000)
    if plain or not one.text.rstrip().endswith(";"):
        return [one]
    name = _CONSTRAINT_NAME.search(one.text)
    if name is None:
        raise PgError(f"pg_dump wrote foreign key {one.key[1]} in an unknown way. Cure: use another release of it.")
    validate = f"ALTER TABLE {one.table} VALIDATE CONSTRAINT {name.group(1)};"
    return [
        replace(one, text=f"{one.text.rstrip()[:-1]} NOT VALID;"),
        replace(one, text=validate, sentence=f"validate {one.key[0]} {one.key[1]}", check="valid"),
    ]


def _plain_not_null(one: Statement) -> str:
    """From 18 on NOT NULL of an inherited column is written as a constraint of the table, which 17 can't read."""
    columns = [match.group(1) for match in _NOT_NULL.finditer(one.text)]
    if not columns:
        return one.text
    text = _NOT_NULL.sub("", one.text)
    text = re.sub(r"\n(?:[ ]*\n)+", "\n", text)
    text = re.sub(r",\n\)", "\n)", text)
    return text + "".join(f"\nALTER TABLE ONLY {one.table} ALTER COLUMN {name} SET NOT NULL;" for name in columns)
