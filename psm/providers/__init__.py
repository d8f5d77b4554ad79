"""Playlists in: one module per file format, behind one small Protocol.

To add a format, write a module with a class that has what :class:`~psm.providers.protocol.Provider` asks for, and list
it here.
"""

import os

from psm.providers.csv_file import Csv
from psm.providers.jspf import Jspf
from psm.providers.m3u import M3u
from psm.providers.protocol import NoPlaylist, Provider, WrittenByPsm
from psm.providers.text import decode_line
from psm.providers.xspf import Xspf

PROVIDERS: tuple[Provider, ...] = (M3u(), Xspf(), Jspf(), Csv())

VERSION = 2
"""Moves whenever a provider reads the same bytes differently, so that files already known are read once more."""


def provider_for(path: bytes) -> Provider | None:
    """The provider whose endings the file's name has, in any case; None when no format has it."""
    _, dot, suffix = os.path.basename(path).rpartition(b".")
    ending = decode_line(dot + suffix).casefold()
    return next((provider for provider in PROVIDERS if dot and ending in provider.suffixes), None)


def is_shared(path: bytes) -> bool:
    """Whether files with this ending are often no playlists at all, so that one that is not is no mistake."""
    provider = provider_for(path)
    return provider is not None and decode_line(path).casefold().endswith(provider.shared_suffixes)


__all__ = ["PROVIDERS", "VERSION", "NoPlaylist", "Provider", "WrittenByPsm", "is_shared", "provider_for"]
