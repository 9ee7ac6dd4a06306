# Copyright: (c) 2026, cloudpg.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A dump as text with the remarks of ``pg_restore --verbose``, taken apart into its entries. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .._pg.errors import PgError

# An entry's heading. What looks like one inside a string or a function's body is none: see headings().
_HEADING = re.compile(
    r"--\n-- TOC entry (?P<id>\d+) \(class (?P<classid>\d+) OID (?P<oid>\d+)\)\n"
    r"(?:-- Dependencies:(?P<depends>[ \d]*)\n)?"
    r"-- Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); Schema: (?P<schema>.*); Owner: (?P<owner>.*)\n"
    r"(?:-- [A-Z][^\n]*\n)?--\n"
)
# What separates statements from what they quote: strings, E-strings, names, dollar quotes, both kinds of comments.
_QUOTED = re.compile(
    r"""(?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*')|(?P<string>'(?:[^']|'')*')|(?P<name>"(?:[^"]|"")*")"""
    r"""|(?P<dollar>(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)|(?P<comment>(?:--[^\n]*\n?)+)"""
    r"""|(?P<block>/\*)|(?P<end>;)""",
    re.DOTALL,
)
_BLOCK = re.compile(r"/\*|\*/")
_NAME = r'(?:"(?:[^"]|"")+"|[^\s".;(),]+)'
_QUALIFIED = rf"(?:{_NAME}\.)?{_NAME}"
_CONTEXT = re.compile(r"^SET default_(?:tablespace|table_access_method) = .*;\n", re.MULTILINE)
# Everyone's default is set once by the session that restores.
_ACCESS_METHOD = re.compile(r"^SET default_table_access_method = (?!heap;).*;$", re.MULTILINE)
_FRAME = re.compile(r"^(?:-- (?:Started|Completed) on .*|--\n-- PostgreSQL database dump complete\n--)$", re.MULTILINE)
_UNRESTRICT = re.compile(r"^\\(?:un)?restrict .*$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """One object of a dump: ``text`` is all that makes it, its owner included, and runs as one transaction.

    ``classid`` and ``oid`` say which object of the source it is, 0 where it is none of its own (a comment, a grant, an
    attachment); ``depends`` are the ids of the entries it needs, a comment's or a grant's object among them.
    """

    id: int
    classid: int
    oid: int
    depends: tuple[int, ...]
    name: str
    type: str
    schema: str | None
    owner: str
    text: str


def _quoted_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Where the text isn't bare SQL, and where a statement may end: (start, end, kind)."""
    position = 0
    while found := _QUOTED.search(text, position):
        start, position = found.span()
        kind = found.lastgroup or ""
        if kind == "block":
            depth = 1
            while depth:
                edge = _BLOCK.search(text, position)
                if edge is None:
                    raise PgError("pg_dump's output ends inside a comment: it is cut short. Cure: run again.")
                depth += 1 if edge.group() == "/*" else -1
                position = edge.end()
        yield start, position, kind


def headings(text: str) -> list[re.Match[str]]:
    """The entries' headings; pg_dump writes each as top-level comments, so none begins inside anything quoted."""
    comments = ((start, end) for start, end, kind in _quoted_spans(text) if kind == "comment")
    found = (_HEADING.search(text, start, end) for start, end in comments)
    return [heading for heading in found if heading]


def parse(text: str) -> list[Entry]:
    """The entries of what ``pg_restore --verbose --file=-`` writes, in the order in which they can be restored.

    Raises PgError for a dump that is cut short: an object that is silently missing is worse than none.
    """
    if "\n-- PostgreSQL database dump complete\n" not in text[-600:]:
        raise PgError("pg_dump's output has no end: it is cut short. Cure: look at the source's log and run again.")
    marks = headings(text)
    if not marks and "\n-- TOC entry " in text:
        raise PgError("pg_restore's remarks are of an unknown form. Cure: use a release of PostgreSQL from 12 to 18.")
    entries = []
    context = "\n".join(_ACCESS_METHOD.findall(text[: marks[0].start()])[-1:]) if marks else ""
    for mark, following in zip(marks, [*(one.start() for one in marks[1:]), len(text)]):
        body = text[mark.end():following]
        last = following == len(text)
        if last:
            body = _UNRESTRICT.sub("", _FRAME.sub("", body))
        # What pg_dump sets before the next entry's heading belongs to that one.
        trailing = _trailing_context(body)
        own = body[: len(body) - len(trailing)].strip()
        needs = context if mark["type"] in ("TABLE", "MATERIALIZED VIEW") and context else ""
        entries.append(Entry(
            int(mark["id"]), int(mark["classid"]), int(mark["oid"]),
            tuple(int(number) for number in (mark["depends"] or "").split()),
            mark["name"], mark["type"], None if mark["schema"] == "-" else mark["schema"], mark["owner"],
            f"{needs}\n{own}" if needs and own else own,
        ))
        if "default_table_access_method" in trailing:
            context = "\n".join(_ACCESS_METHOD.findall(trailing)[-1:])
    return [entry for entry in entries if entry.text]


def _trailing_context(body: str) -> str:
    """The SET lines at the end of an entry's text, with the blank lines between them."""
    end = len(body)
    while True:
        lines = body[:end].rstrip("\n")
        cut = lines.rfind("\n") + 1
        if not _CONTEXT.fullmatch(lines[cut:] + "\n"):
            return body[len(body[:end].rstrip("\n")):] if end < len(body) else ""
        end = cut


def statements(text: str) -> list[str]:
    """The statements of an entry whose text has no body of SQL (``BEGIN ATOMIC``), each with its semicolon."""
    parts, begin = [], 0
    for _start, end, kind in _quoted_spans(text):
        if kind == "end":
            parts.append(text[begin:end].strip())
            begin = end
    return parts


def unquote(name: str) -> str:
    """A name as the catalogue has it."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def split_name(qualified: str) -> tuple[str, str]:
    """``schema.name`` as written in SQL -> the two names as the catalogue has them."""
    parts = [unquote(part) for part in re.findall(_NAME, qualified)]
    if len(parts) != 2:
        raise PgError(f"{qualified} isn't schema.name. Cure: give both, quoted where the name needs it.")
    return parts[0], parts[1]


_ATTACH = re.compile(rf"ALTER (?:TABLE(?: ONLY)?|INDEX) ({_QUALIFIED}) ATTACH PARTITION ({_QUALIFIED})")
_OWNED = re.compile(rf"ALTER SEQUENCE ({_QUALIFIED}) OWNED BY")


def subject(entry: Entry) -> tuple[str, str]:
    """The (schema, name) which an attachment or an ownership of a sequence is about: the part, not the whole."""
    found = _ATTACH.search(entry.text) or _OWNED.search(entry.text)
    if not found:
        raise PgError(f"pg_dump wrote {entry.type} {entry.name} in an unknown way. Cure: use another release of it.")
    return split_name(found.group(found.lastindex or 1))
