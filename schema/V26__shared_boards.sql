-- A board may be shared by several clients: the farm itself holds it, in a reservation whose client is empty, and each
-- of them has a reservation within that one.  Only the farm's own holds the board, so the promise that nothing is
-- double-booked is kept by the same constraint as before; and it lasts exactly as long as somebody shares the board.

ALTER TABLE worker ADD COLUMN shared_kinds text[] NOT NULL DEFAULT '{}';

COMMENT ON COLUMN worker.shared_kinds IS 'Those of its device kinds whose boards several clients can share.';

ALTER TABLE request ADD COLUMN sharers integer CHECK (sharers > 0);

COMMENT ON COLUMN request.sharers IS 'How many clients may share each board, this one among them; null: it wants boards for itself.';

ALTER TABLE reservation
    DROP CONSTRAINT reservation_of_known_device,
    DROP CONSTRAINT reservation_one_active_per_device,
    DROP COLUMN holds;
ALTER TABLE reservation
    ADD COLUMN within        text             REFERENCES reservation (id),
    ADD COLUMN sharers       integer          NOT NULL DEFAULT 1,
    ADD COLUMN board_seconds double precision NOT NULL DEFAULT 0,
    ADD COLUMN counted_at    timestamptz      NOT NULL DEFAULT now(),
    -- The serial while the reservation is active. It carries the promise that nothing is double-booked.
    ADD COLUMN holds         text             GENERATED ALWAYS AS (
        CASE WHEN ended_at IS NULL AND within IS NULL THEN serial END) STORED;
ALTER TABLE reservation
    ADD CONSTRAINT reservation_one_active_per_device UNIQUE (holds),
    ADD CONSTRAINT reservation_of_known_device FOREIGN KEY (holds) REFERENCES device (serial),
    ADD CONSTRAINT reservation_within_is_a_clients CHECK (within IS NULL OR client <> '');

COMMENT ON COLUMN reservation.client        IS 'Name of the client whose reservation it is; empty: the farm''s own, of a board that several share.';
COMMENT ON COLUMN reservation.within        IS 'The farm''s own reservation of the board, which its client shares with others; null: it has the board for itself.';
COMMENT ON COLUMN reservation.sharers       IS 'Within another one: how many clients share the board since counted_at.';
COMMENT ON COLUMN reservation.board_seconds IS 'Within another one: its part of the board''s time until counted_at.';
COMMENT ON COLUMN reservation.counted_at    IS 'When the number of those who share the board last changed.';
COMMENT ON COLUMN reservation.holds         IS 'The serial while active, null afterwards and within another one; unique, so no board is reserved twice.';
COMMENT ON COLUMN device.client             IS 'Who has it reserved; empty: several clients share it.';

CREATE UNIQUE INDEX reservation_active_within ON reservation (within, client) WHERE ended_at IS NULL AND within IS NOT NULL;

CREATE INDEX reservation_by_own ON reservation (within) WHERE within IS NOT NULL;
CREATE INDEX reservation_active_by_serial ON reservation (serial) WHERE ended_at IS NULL;

DROP TRIGGER reservation_shown_in_device ON reservation;
CREATE TRIGGER reservation_shown_in_device
    AFTER INSERT OR UPDATE OF ended_at, expires_at, client, kind ON reservation
    FOR EACH ROW WHEN (NEW.within IS NULL) EXECUTE FUNCTION show_reservation_in_device();

-- The last part of the board's time of one that leaves.
CREATE FUNCTION count_last_part() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.board_seconds := OLD.board_seconds
        + greatest(0, extract(epoch FROM NEW.ended_at - OLD.counted_at)::float8) / OLD.sharers;
    NEW.counted_at := NEW.ended_at;
    RETURN NEW;
END
$$;

CREATE TRIGGER reservation_counts_last_part
    BEFORE UPDATE OF ended_at ON reservation
    FOR EACH ROW WHEN (NEW.within IS NOT NULL AND NEW.ended_at IS NOT NULL)
    EXECUTE FUNCTION count_last_part();

-- Who shares a board has come, gone or stays longer: the others have another part of its time from now on, and the
-- farm's own reservation lasts as long as the last of them.
CREATE FUNCTION follow_those_within() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    there integer;
    last  timestamptz;
BEGIN
    SELECT count(*), max(expires_at) INTO there, last
      FROM reservation WHERE within = NEW.within AND ended_at IS NULL;
    IF there = 0 THEN
        UPDATE reservation SET ended_at = greatest(created_at, NEW.ended_at), end_reason = 'nobody shares the board any more'
         WHERE id = NEW.within AND ended_at IS NULL;
        RETURN NULL;
    END IF;
    UPDATE reservation
       SET board_seconds = board_seconds + greatest(0, extract(epoch FROM now() - counted_at)::float8) / sharers,
           counted_at = greatest(counted_at, now()), sharers = there
     WHERE within = NEW.within AND ended_at IS NULL AND sharers <> there;
    UPDATE reservation SET expires_at = greatest(created_at, last)
     WHERE id = NEW.within AND ended_at IS NULL AND expires_at <> greatest(created_at, last);
    RETURN NULL;
END
$$;

CREATE TRIGGER reservation_follows_those_within
    AFTER INSERT OR UPDATE OF ended_at, expires_at ON reservation
    FOR EACH ROW WHEN (NEW.within IS NOT NULL) EXECUTE FUNCTION follow_those_within();

-- Once the farm's own reservation has ended, so have those within it.
CREATE FUNCTION end_those_within() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE reservation SET ended_at = NEW.ended_at, end_reason = NEW.end_reason
     WHERE within = NEW.id AND ended_at IS NULL;
    RETURN NULL;
END
$$;

CREATE TRIGGER reservation_ends_those_within
    AFTER UPDATE OF ended_at ON reservation
    FOR EACH ROW WHEN (NEW.client = '' AND NEW.ended_at IS NOT NULL) EXECUTE FUNCTION end_those_within();

CREATE OR REPLACE VIEW active_reservation AS
    SELECT serial, client, kind, worker, created_at, expires_at, expires_at - now() AS left_over, options, id
      FROM reservation
     WHERE ended_at IS NULL AND client <> ''
     ORDER BY expires_at, serial;
