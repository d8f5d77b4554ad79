-- 0: left to scans, whatever else is watched.
ALTER TABLE libraries ADD COLUMN watch INTEGER NOT NULL DEFAULT 1;
