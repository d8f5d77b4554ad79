"""What is missing, what is unsure, what is there twice, what is badly tagged: as HTML, CSV and JSON."""

from typing import TYPE_CHECKING, Any

from psm.report.due import REPORT_VERSION, is_due
from psm.report.result import Outcome, ReportFile, ReportResult

if TYPE_CHECKING:
    from psm.report.stage import write_report

__all__ = ["REPORT_VERSION", "Outcome", "ReportFile", "ReportResult", "is_due", "write_report"]


def __getattr__(name: str) -> Any:
    """What writes is loaded when it is asked for: a build with nothing to report does not load the template engine."""
    if name != "write_report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from psm.report.stage import write_report

    return write_report
