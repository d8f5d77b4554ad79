"""What is missing, what is unsure, what is there twice, what is badly tagged: as HTML, CSV and JSON."""

from psm.report.stage import REPORT_VERSION, Outcome, ReportFile, ReportResult, is_due, write_report

__all__ = ["REPORT_VERSION", "Outcome", "ReportFile", "ReportResult", "is_due", "write_report"]
