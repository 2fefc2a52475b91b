-- Whether the file is open, or was when its process ended: then what was leased may have ended it.
ALTER TABLE openings ADD COLUMN is_open INTEGER NOT NULL DEFAULT 0;
