"""Playlists out: written for each player in the paths, encoding and format that it reads."""

from psm.export.result import ExportResult, Outcome, VerifyResult
from psm.export.stage import EXPORT_VERSION, export_playlists, is_due
from psm.export.verify import verify

__all__ = ["EXPORT_VERSION", "ExportResult", "Outcome", "VerifyResult", "export_playlists", "is_due", "verify"]
