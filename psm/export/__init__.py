"""Playlists out: written for each player in the paths, encoding and format that it reads."""

from typing import TYPE_CHECKING, Any

from psm.export.due import EXPORT_VERSION, is_due
from psm.export.result import ExportResult, Outcome, VerifyResult
from psm.export.verify import verify

if TYPE_CHECKING:
    from psm.export.stage import export_playlists

__all__ = ["EXPORT_VERSION", "ExportResult", "Outcome", "VerifyResult", "export_playlists", "is_due", "verify"]


def __getattr__(name: str) -> Any:
    """What writes is loaded when it is asked for: a build with nothing to export asks for none of it."""
    if name != "export_playlists":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from psm.export.stage import export_playlists

    return export_playlists
