-- now() is when the transaction began: one that waits for the end of another reservation seemed to begin before it.
-- All boards of one statement still have the same time.

ALTER TABLE reservation
    ALTER COLUMN created_at SET DEFAULT statement_timestamp(),
    ALTER COLUMN counted_at SET DEFAULT statement_timestamp();
