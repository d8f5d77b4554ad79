-- The roots of the collection. root is the real, absolute path (os.fsencode).
CREATE TABLE libraries (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    root       BLOB NOT NULL UNIQUE,
    added_at   REAL NOT NULL
);

-- Every file psm has seen. path and folder are relative to the library's root; lists are JSON arrays.
CREATE TABLE library_files (
    id               INTEGER PRIMARY KEY,
    library_id       INTEGER NOT NULL REFERENCES libraries (id),
    path             BLOB NOT NULL,
    folder           BLOB NOT NULL,
    status           TEXT NOT NULL,
    missing_since    REAL,
    size_bytes       INTEGER NOT NULL,
    mtime_ns         INTEGER NOT NULL,
    ctime_ns         INTEGER NOT NULL,
    inode            INTEGER NOT NULL,
    device           INTEGER NOT NULL,
    -- 1: changed so shortly before it was read that a later change may carry the same time
    reread           INTEGER NOT NULL,
    first_seen       REAL NOT NULL,
    fingerprint      TEXT,
    error            TEXT,
    title            TEXT,
    artists          TEXT NOT NULL,
    album            TEXT,
    album_artist     TEXT,
    track_number     INTEGER,
    disc_number      INTEGER,
    year             INTEGER,
    genre            TEXT,
    duration_s       REAL,
    bitrate_kbps     INTEGER,
    sample_rate_hz   INTEGER,
    channels         INTEGER,
    codec            TEXT,
    isrcs            TEXT NOT NULL,
    mb_recording_id  TEXT,
    mb_release_id    TEXT,
    compilation      INTEGER NOT NULL,
    guessed          TEXT NOT NULL,
    generation       INTEGER NOT NULL
);
CREATE UNIQUE INDEX library_files_present ON library_files (library_id, path) WHERE status = 'present';
CREATE INDEX library_files_missing ON library_files (missing_since) WHERE status = 'missing';
CREATE INDEX library_files_folder ON library_files (library_id, folder, status);
CREATE INDEX library_files_path ON library_files (library_id, path);
CREATE INDEX library_files_fingerprint ON library_files (fingerprint);
CREATE INDEX library_files_generation ON library_files (generation);

-- What playlists ask for. identity is a hash over all that the source says; key names the track for manual decisions.
-- locations are absolute paths joined by NUL bytes. followed is where the file is now that was found by one of them,
-- when it was renamed or its library moved since.
CREATE TABLE tracks (
    id               INTEGER PRIMARY KEY,
    identity         TEXT NOT NULL UNIQUE,
    key              TEXT NOT NULL,
    title            TEXT NOT NULL,
    artists          TEXT NOT NULL,
    album            TEXT,
    duration_s       REAL,
    isrc             TEXT,
    mb_recording_id  TEXT,
    locations        BLOB,
    followed         BLOB,
    generation       INTEGER NOT NULL
);
CREATE INDEX tracks_key ON tracks (key);
CREATE INDEX tracks_generation ON tracks (generation);

-- folder: the playlists folder in which the source was found. source_state tells whether the source changed since.
CREATE TABLE playlists (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL,
    provider      TEXT NOT NULL,
    source        BLOB NOT NULL UNIQUE,
    folder        BLOB,
    source_state  TEXT NOT NULL,
    status        TEXT NOT NULL,
    imported_at   REAL NOT NULL,
    generation    INTEGER NOT NULL
);

CREATE TABLE playlist_tracks (
    playlist_id  INTEGER NOT NULL REFERENCES playlists (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    track_id     INTEGER NOT NULL REFERENCES tracks (id),
    PRIMARY KEY (playlist_id, position)
);
CREATE INDEX playlist_tracks_track ON playlist_tracks (track_id);

-- Where playlists come from, also while none of it is there: kind is folder (followed) or file (imported by name). Only
-- a person takes one out. Folders that the configuration names are not here. Kept in playlists.yaml as well.
CREATE TABLE playlist_sources (
    path  BLOB PRIMARY KEY,
    kind  TEXT NOT NULL
);

-- The sources of playlists that a person removed, until they are taken in again: only for these, and for those whose
-- status is missing, is it known that the playlist went away.
CREATE TABLE removed_playlists (
    source  BLOB PRIMARY KEY
);

CREATE TABLE matches (
    track_id    INTEGER PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
    file_id     INTEGER NOT NULL REFERENCES library_files (id) ON DELETE CASCADE,
    score       REAL NOT NULL,
    method      TEXT NOT NULL,
    confidence  TEXT NOT NULL,
    reasons     TEXT NOT NULL,
    generation  INTEGER NOT NULL
);
CREATE INDEX matches_file ON matches (file_id);

-- The index that finds candidates: 64-bit hashes of the keys under which a track or a file can be found. The same hashes
-- once more in one row per item (8 bytes each, little-endian): what an item had before it changed is one look-up.
CREATE TABLE file_keys (
    key_hash  INTEGER NOT NULL,
    file_id   INTEGER NOT NULL,
    PRIMARY KEY (key_hash, file_id)
) WITHOUT ROWID;
CREATE TABLE file_keyed (
    file_id  INTEGER PRIMARY KEY,
    hashes   BLOB NOT NULL
);
CREATE TABLE track_keys (
    key_hash  INTEGER NOT NULL,
    track_id  INTEGER NOT NULL,
    PRIMARY KEY (key_hash, track_id)
) WITHOUT ROWID;
CREATE TABLE track_keyed (
    track_id  INTEGER PRIMARY KEY,
    hashes    BLOB NOT NULL
);

-- Tracks that a change re-opened and that are still to be matched: survives a kill between finding and matching them.
-- ticket: a track that is queued again while it is being matched gets a new one, and the older result is dropped.
CREATE TABLE match_queue (
    ticket    INTEGER PRIMARY KEY AUTOINCREMENT,
    track_id  INTEGER NOT NULL UNIQUE REFERENCES tracks (id) ON DELETE CASCADE
);

-- What a person decided by hand, also kept in psm-overrides.yaml. kind: set, reject or none. file_* are the present names
-- of the file of file_id, said_* the names by which psm-overrides.yaml last called it; all are NULL for none.
CREATE TABLE decisions (
    id                INTEGER PRIMARY KEY,
    track_key         TEXT NOT NULL,
    track_label       TEXT NOT NULL,
    kind              TEXT NOT NULL,
    file_library      TEXT,
    file_path         BLOB,
    file_fingerprint  TEXT,
    file_id           INTEGER REFERENCES library_files (id) ON DELETE SET NULL,
    decided_at        TEXT NOT NULL,
    said_library      TEXT,
    said_path         BLOB,
    said_fingerprint  TEXT
);
CREATE INDEX decisions_track ON decisions (track_key);
CREATE INDEX decisions_file ON decisions (file_id);
