"""Whether an export has anything to do. Apart from the export, which a build with nothing to do need not load."""

import json
import os
from dataclasses import asdict

from psm.config import ExportConfig, ExportProfile
from psm.db import exports

EXPORT_VERSION = 1
"""Goes up when the same input gives other files."""


def is_due(connection: exports.Connection, cfg: ExportConfig) -> bool:
    """Whether an export would read anything new, or one of its outputs is not as it was left."""
    state = exports.state(connection)
    if state is None or state.settings != settings_of(cfg):
        return True
    if state.generations != exports.generations(connection):
        return True
    return not all(output.is_as_left for output in state.outputs)


def settings_of(cfg: ExportConfig) -> str:
    """The settings as the database remembers those of the last export."""
    # The real folders too: a link may lead elsewhere today.
    folders_now = [os.fsdecode(real_folder(p)) for p in cfg.profiles]
    return json.dumps([EXPORT_VERSION, [asdict(p) for p in cfg.profiles], folders_now], default=os.fsdecode)


def real_folder(profile: ExportProfile) -> bytes:
    """Where a profile's playlists go, once links are followed."""
    return os.path.realpath(os.fsencode(profile.folder))
