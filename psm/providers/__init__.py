"""Playlists in: one module per file format, behind one small Protocol.

To add a format, write a module with a class that has what :class:`~psm.providers.protocol.Provider` asks for, and list
it here.
"""

import os
from functools import cache
from typing import Any

from psm.providers.protocol import NoPlaylist, Provider, WrittenByPsm

PROVIDERS: tuple[Provider, ...]

VERSION = 2
"""Moves whenever a provider reads the same bytes differently, so that files already known are read once more."""


def provider_for(path: bytes) -> Provider | None:
    """The provider whose endings the file's name has, in any case; None when no format has it."""
    from psm.providers.text import decode_line

    _, dot, suffix = os.path.basename(path).rpartition(b".")
    ending = decode_line(dot + suffix).casefold()
    return next((provider for provider in _providers() if dot and ending in provider.suffixes), None)


def is_shared(path: bytes) -> bool:
    """Whether files with this ending are often no playlists at all, so that one that is not is no mistake."""
    from psm.providers.text import decode_line

    provider = provider_for(path)
    return provider is not None and decode_line(path).casefold().endswith(provider.shared_suffixes)


@cache
def _providers() -> tuple[Provider, ...]:
    # Loaded when a file is to be judged or read: a build whose playlists are as they were needs none of them.
    from psm.providers.csv_file import Csv
    from psm.providers.jspf import Jspf
    from psm.providers.m3u import M3u
    from psm.providers.xspf import Xspf

    return (M3u(), Xspf(), Jspf(), Csv())


def __getattr__(name: str) -> Any:
    """``PROVIDERS``: all of them, in the order in which they are asked."""
    if name == "PROVIDERS":
        return _providers()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["PROVIDERS", "VERSION", "NoPlaylist", "Provider", "WrittenByPsm", "is_shared", "provider_for"]
