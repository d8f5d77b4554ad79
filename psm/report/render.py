"""The report as files: one HTML page that needs nothing else, one CSV file per section, one JSON document."""

import base64
import csv
import hashlib
import io
import json
import math
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from psm.report.model import Report
from psm.report.tables import Kind, Table, Value, tables

if TYPE_CHECKING:
    from jinja2 import Environment

_HTML_START = b"<!doctype html>\n<!-- psm report -->\n"
_JSON_VERSION = 1
_STATIC_ROWS = 100
# What a spreadsheet takes for a formula (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A file of the report."""

    name: str
    content: bytes


def render(report: Report, formats: tuple[str, ...]) -> Iterator[RenderedFile]:
    """The files of the report in these formats: ``html``, ``csv``, ``json``."""
    sections = tables(report)
    if "html" in formats:
        yield RenderedFile("psm-report.html", html(report, sections))
    if "csv" in formats:
        for section in sections:
            yield RenderedFile(f"psm-{section.name}.csv", table_csv(section))
    if "json" in formats:
        yield RenderedFile("psm-report.json", as_json(report))


def html(report: Report, sections: tuple[Table, ...]) -> bytes:
    """The page. It loads nothing, runs its own script only, and works from a file, without a network."""
    from markupsafe import Markup

    script = _asset("report.js")
    pieces = (
        _environment()
        .get_template("report.html")
        .generate(
            summary=report.summary,
            tables=sections,
            data=lambda table: map(Markup, _data(table)),  # (escaped by _data)
            static_rows=_STATIC_ROWS,
            style=Markup(_asset("report.css")),  # noqa: S704  (psm's own)
            script=Markup(script),  # noqa: S704  (psm's own)
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    page = io.BytesIO(_HTML_START)
    page.seek(0, io.SEEK_END)
    for piece in pieces:
        page.write(piece.encode("utf-8"))
    return page.getvalue()


def table_csv(table: Table) -> bytes:
    """A section for spreadsheets: UTF-8 with the mark by which Excel knows it, otherwise as RFC 4180 has it.

    Durations are seconds, sizes bytes, shares and scores 0 to 1. A text that would be taken for a formula gets an
    apostrophe.
    """
    content = io.BytesIO()
    text = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([column.name for column in table.columns])
    for row in table.rows:
        writer.writerow([_cell(value) for value in row])
    text.flush()
    return content.getvalue()


def as_json(report: Report) -> bytes:
    """All of it as one document. ASCII: names that are no text survive as surrogate escapes."""
    content = io.BytesIO()
    text = io.TextIOWrapper(content, encoding="ascii", newline="")
    text.write(f'{{\n "psm": "report",\n "version": {_JSON_VERSION}')
    for field in fields(report):
        value = getattr(report, field.name)
        text.write(f',\n "{field.name}": ')
        if not isinstance(value, tuple):
            json.dump(_plain(value), text)
            continue
        text.write("[")
        for number, item in enumerate(value):
            text.write(f"{',' if number else ''}\n  {json.dumps(_plain(item))}")
        text.write("\n ]" if value else "]")
    text.write("\n}\n")
    text.flush()
    return content.getvalue()


def clean(text: str) -> str:
    """``text`` that can be shown: control characters and bytes that are no text stand as escapes."""
    if text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)


def duration(seconds: float) -> str:
    """Seconds as people write them, 3:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(count: float) -> str:
    """Bytes as people write them, 3.2 MB."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"


def shown_value(value: Value, kind: Kind) -> str:
    """A cell for people."""
    if value is None:
        return ""
    if isinstance(value, str):
        return clean(value)
    match kind:
        case Kind.DURATION:
            return duration(value)
        case Kind.SIZE:
            return size(value)
        case Kind.SHARE:
            return f"{math.floor(value * 100 + 1e-9)}%"  # 99.6 % is not all of it
        case _:
            return f"{value:,}"


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("psm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown_value
    environment.filters["size"] = size
    return environment


def _asset(name: str) -> str:
    return (resources.files("psm.report") / "templates" / name).read_text(encoding="utf-8")


def _data(table: Table) -> Iterator[str]:
    """The rows as JSON that may stand in a script element: nothing in it can end that or begin a comment."""
    yield "["
    for number, row in enumerate(table.rows):
        values = [clean(value) if isinstance(value, str) else _rounded(value) for value in row]
        text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
        safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        yield f",\n{safe}" if number else safe
    yield "]"


def _rounded(value: float | None) -> float | None:
    return round(value, 3) if isinstance(value, float) else value


def _cell(value: Value) -> Value:
    if not isinstance(value, str):
        return _rounded(value)
    text = clean(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # a byte of a file name that is no text
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return os.fsdecode(value) if isinstance(value, bytes) else value
