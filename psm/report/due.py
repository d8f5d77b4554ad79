"""Whether a report has anything to say. Apart from the report, which a build with nothing to do need not load."""

import json
import os
from dataclasses import asdict

from psm.config import ReportConfig
from psm.db import report_state

REPORT_VERSION = 1
"""Goes up when the same input gives other files."""


def is_due(connection: report_state.Connection, cfg: ReportConfig) -> bool:
    """Whether a report would say anything new, or one of its files is not as it was left."""
    state = report_state.state(connection)
    if state is None or state.settings != settings_of(cfg) or state.generations != report_state.generations(connection):
        return True
    return not all(output.is_as_left for output in (state.manifest, *(w.output for w in state.files)))


def settings_of(cfg: ReportConfig) -> str:
    """The settings as the database remembers those of the last report."""
    return json.dumps([REPORT_VERSION, asdict(cfg)], default=os.fsdecode)
