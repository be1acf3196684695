-- How each board did of late, so that one look at its row says why it was set aside.

ALTER TABLE device
    ADD COLUMN recent_attempts integer NOT NULL DEFAULT 0 CHECK (recent_attempts >= 0),
    ADD COLUMN recent_timeouts integer NOT NULL DEFAULT 0 CHECK (recent_timeouts >= 0),
    ADD COLUMN recent_retries  integer NOT NULL DEFAULT 0 CHECK (recent_retries >= 0),
    ADD COLUMN recent_failures integer NOT NULL DEFAULT 0 CHECK (recent_failures >= 0),
    ADD COLUMN set_aside       integer NOT NULL DEFAULT 0 CHECK (set_aside >= 0);

COMMENT ON COLUMN device.recent_attempts IS 'Its last attempts to evaluate, 60 at most; the next three columns count among these.';
COMMENT ON COLUMN device.recent_timeouts IS 'Those in which it was silent.';
COMMENT ON COLUMN device.recent_retries  IS 'Those that were made again.';
COMMENT ON COLUMN device.recent_failures IS 'Evaluations of which no attempt gave a result.';
COMMENT ON COLUMN device.set_aside       IS 'How often it was set aside since it last did well for a while.';
