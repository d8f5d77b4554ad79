"""What is wrong between the settings of an export profile, each of them fine by itself, and between profiles."""

import os
from pathlib import Path

from psm import places
from psm.config.keys import ANY, Findings, Key, KeyPath

DEFAULT_PROFILE = "default"
"""The profile that is there when none is configured, the only one that needs no folder."""


def check_profiles(keys: tuple[Key, ...], findings: Findings) -> None:
    """What is wrong between the settings of each profile, and between profiles."""
    taken: dict[tuple[str, object], str] = {}
    for path in findings.named:
        profile = _Profile(path, keys, findings)
        profile.check()
        folder = profile.folder() if len(findings.named) > 1 else None
        if folder is not None and not profile.broken("format"):
            place = (os.path.normcase(folder), profile.value("format"))
            if taken.setdefault(place, path[-1]) != path[-1]:
                profile.wrong("folder", f"{folder} already takes the {place[1]} files of the profile {taken[place]!r}.")


class _Profile:
    """The settings of one profile that must fit together."""

    def __init__(self, path: KeyPath, keys: tuple[Key, ...], findings: Findings) -> None:
        self._path = path
        self._findings = findings
        # A value that is wrong in itself is named already, and would only cause complaints that it is not there.
        self._broken = {m.key for m in findings.mistakes}
        self._defaults = {k.path[-1]: k.default for k in keys if ANY in k.path}

    def check(self) -> None:
        if ".".join(self._path) in self._broken:
            return
        if not self.given("folder") and self._path[-1] != DEFAULT_PROFILE:
            self.wrong("", "the profile needs a folder.")
        paths = self.value("paths")
        for form, name in (("below", "root"), ("mapped", "map_from"), ("mapped", "map_to")):
            if paths == form and not self.given(name):
                self.wrong("paths", f"'paths: {form}' needs {name} as well.")
            elif paths != form and self.given(name) and not self.broken("paths"):
                self.wrong(name, f"it does nothing without 'paths: {form}'.")
        encoding, written = self.value("encoding"), self.value("format")
        fitting = {"m3u8": ("utf-8", "utf-8-sig"), "xspf": ("utf-8",)}
        if self.broken("format") or self.broken("encoding"):
            return
        if encoding not in fitting.get(str(written), (encoding,)):
            self.wrong("encoding", f"{written} files are always UTF-8; 'format: m3u' takes other encodings.")

    def value(self, name: str) -> object:
        found = self._findings.values.get((*self._path, name))
        return self._defaults[name] if found is None else found.value

    def given(self, name: str) -> bool:
        return (*self._path, name) in self._findings.values or self.broken(name)

    def wrong(self, name: str, message: str) -> None:
        path = (*self._path, name) if name else self._path
        found = self._findings.values.get(path) or self._findings.named[self._path]
        self._findings.wrong(message, path, found.source, found.line)

    def folder(self) -> Path | None:
        """Where the playlists go; None when nothing says it."""
        if (*self._path, "folder") not in self._findings.values and self._path[-1] == DEFAULT_PROFILE:
            return None if self.broken("folder") else places.data_folder() / str(self._defaults["folder"])
        value = self._findings.values.get((*self._path, "folder"))
        return value.value if value is not None and isinstance(value.value, Path) else None

    def broken(self, name: str) -> bool:
        """Whether a value was given that is wrong in itself."""
        return ".".join((*self._path, name)) in self._broken
