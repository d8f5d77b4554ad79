"""Reads units as systemd does, by systemd.syntax(7) and systemd.service(5): for tests where it is absent."""

import os
import re

_SIMPLE = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34, "'": 39, "s": 32}


def settings(text: str) -> dict[str, list[str]]:
    """``Section.Key`` to its values. Anything else than sections, settings and comments is an error."""
    text.encode()  # lines that are not UTF-8 would be skipped
    found: dict[str, list[str]] = {}
    section = ""
    for line in text.split("\n"):
        assert not line.endswith("\\"), f"goes on in the next line: {line}"
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif line and not line.startswith(("#", ";")):
            key, equals, value = line.partition("=")
            assert equals, line
            assert re.fullmatch(r"[A-Za-z]+", key), line
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


def command(line: str) -> list[str]:
    """What ``ExecStart=`` runs, when no specifier or variable is meant to be in it."""
    program, *arguments = words(line)
    # The program's name cannot hold these, and variables are not replaced in it.
    assert not re.search(r"['\"\\$\x00-\x1f\x7f]", program)
    assert os.path.isabs(program)
    return [program, *(_literal(argument, "$") for argument in arguments)]


def words(line: str) -> list[str]:
    """The words of a line: quotes and escapes taken away, specifiers replaced."""
    found: list[str] = []
    rest = line.lstrip(" \t")
    while rest:
        word, rest = _word(rest)
        found.append(_literal(word, "%"))
        rest = rest.lstrip(" \t")
    return found


def _word(text: str) -> tuple[str, str]:
    quote = text[0] if text[0] in "\"'" else ""
    content = bytearray()
    at = len(quote)
    while at < len(text) and text[at] != quote and (quote or text[at] not in " \t"):
        if text[at] == "\\":
            if numbered := re.match(r"x([0-9a-f]{2})", text[at + 1 :]):
                assert int(numbered[1], 16), "a NUL"
                content.append(int(numbered[1], 16))
                at += 4
            else:
                content.append(_SIMPLE[text[at + 1]])
                at += 2
        else:
            content += text[at].encode()
            at += 1
    assert not quote or text[at : at + 1] == quote, "a quote that does not end"
    at += len(quote)
    assert text[at : at + 1] in {"", " ", "\t"}, "something right behind a quote"
    return os.fsdecode(bytes(content)), text[at:]


def _literal(word: str, sign: str) -> str:
    rest = word.replace(sign * 2, "")
    assert sign not in rest, f"{sign} that means something: {word}"
    return word.replace(sign * 2, sign)
