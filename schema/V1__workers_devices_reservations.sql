-- What control remembers. Only control writes here; everybody may look.
-- Names of constraints are part of the program: control recognises a violated one by its name.

CREATE TABLE worker (
    name      text        PRIMARY KEY,
    status    text        NOT NULL DEFAULT 'offline' CHECK (status IN ('online', 'offline')),
    draining  boolean     NOT NULL DEFAULT false,
    host      text        NOT NULL,
    version   text        NOT NULL,
    kinds     text[]      NOT NULL DEFAULT '{}',
    last_seen timestamptz NOT NULL DEFAULT now(),
    joined_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE  worker           IS 'Programs that look after boards, one for each host; those that ever joined.';
COMMENT ON COLUMN worker.name      IS 'As given with --name; unique in the farm.';
COMMENT ON COLUMN worker.status    IS 'online while it is connected to the farm.';
COMMENT ON COLUMN worker.draining  IS 'An operator has asked for it to get no new reservations.';
COMMENT ON COLUMN worker.host      IS 'Name of the machine it runs on.';
COMMENT ON COLUMN worker.version   IS 'Version of icefarm that it runs.';
COMMENT ON COLUMN worker.kinds     IS 'Device kinds that it offers.';
COMMENT ON COLUMN worker.last_seen IS 'When it last gave a sign of life.';
COMMENT ON COLUMN worker.joined_at IS 'When it joined this farm for the first time.';

CREATE TABLE reservation (
    id         text        PRIMARY KEY DEFAULT replace(gen_random_uuid()::text, '-', ''),
    serial     text        NOT NULL,
    worker     text        NOT NULL REFERENCES worker (name),
    client     text        NOT NULL,
    kind       text        NOT NULL,
    options    json        NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz,
    end_reason text,
    -- The serial while the reservation is active. It carries the promise that nothing is double-booked.
    holds      text        GENERATED ALWAYS AS (CASE WHEN ended_at IS NULL THEN serial END) STORED,
    CONSTRAINT reservation_one_active_per_device UNIQUE (holds),
    CONSTRAINT reservation_has_reason_once_ended CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
    CONSTRAINT reservation_expires_after_creation CHECK (expires_at >= created_at)
);

COMMENT ON TABLE  reservation            IS 'Who has, or had, which board; ended ones are kept as history.';
COMMENT ON COLUMN reservation.id         IS 'Calls to the board name it; once it has ended, the board refuses them.';
COMMENT ON COLUMN reservation.serial     IS 'The board; in the history it may be one that was deleted since.';
COMMENT ON COLUMN reservation.worker     IS 'The worker that has the board, or had it when the reservation ended.';
COMMENT ON COLUMN reservation.client     IS 'Name of the client whose reservation it is.';
COMMENT ON COLUMN reservation.kind       IS 'Device kind that the board serves as.';
COMMENT ON COLUMN reservation.options    IS 'Options of the kind.';
COMMENT ON COLUMN reservation.expires_at IS 'When it ends unless extended.';
COMMENT ON COLUMN reservation.ended_at   IS 'When it ended; null while it is active.';
COMMENT ON COLUMN reservation.end_reason IS 'Why it ended: ended by the client, expired, client gone, ...';
COMMENT ON COLUMN reservation.holds      IS 'The serial while active, null afterwards; unique, so no board is reserved twice.';

CREATE INDEX reservation_active_by_client ON reservation (client) WHERE ended_at IS NULL;
CREATE INDEX reservation_active_by_expiry ON reservation (expires_at) WHERE ended_at IS NULL;
CREATE INDEX reservation_history ON reservation (serial, created_at);

CREATE TABLE device (
    serial           text        PRIMARY KEY,
    worker           text        NOT NULL REFERENCES worker (name),
    status           text        NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN reported = 'available' AND reservation IS NOT NULL THEN 'reserved'
            WHEN reported = 'reserved' AND reservation IS NULL THEN 'flashing'
            ELSE reported
        END
    ) STORED,
    reason           text,
    client           text,
    reserved_until   timestamptz,
    kind             text,
    reservation      text        UNIQUE REFERENCES reservation (id),
    firmware         text,
    firmware_version text,
    usb_path         text,
    evaluations      bigint      NOT NULL DEFAULT 0 CHECK (evaluations >= 0),
    failures         bigint      NOT NULL DEFAULT 0 CHECK (failures >= 0),
    retries          bigint      NOT NULL DEFAULT 0 CHECK (retries >= 0),
    reported         text        NOT NULL
        CHECK (reported IN ('available', 'reserved', 'flashing', 'testing', 'broken', 'offline')),
    changed_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT device_reservation_is_whole CHECK (num_nulls(reservation, client, kind, reserved_until) IN (0, 4))
);

COMMENT ON TABLE  device                IS 'The boards of the farm, one row each.';
COMMENT ON COLUMN device.serial         IS 'Serial number of the board, as printed and as USB reports it.';
COMMENT ON COLUMN device.worker         IS 'The worker that the board is plugged into, or was last.';
COMMENT ON COLUMN device.status         IS 'available, reserved, flashing, testing, broken or offline.';
COMMENT ON COLUMN device.reason         IS 'Why it is broken or offline, or what it is doing.';
COMMENT ON COLUMN device.client         IS 'Who has it reserved.';
COMMENT ON COLUMN device.reserved_until IS 'When that reservation ends unless extended.';
COMMENT ON COLUMN device.kind           IS 'The device kind that it is reserved for.';
COMMENT ON COLUMN device.reservation    IS 'That reservation. This and the three columns before follow the table reservation by themselves.';
COMMENT ON COLUMN device.firmware       IS 'Firmware that it runs.';
COMMENT ON COLUMN device.usb_path       IS 'Where it is plugged in.';
COMMENT ON COLUMN device.evaluations    IS 'Evaluations answered with a result since its worker started.';
COMMENT ON COLUMN device.failures       IS 'Evaluations that failed since its worker started.';
COMMENT ON COLUMN device.retries        IS 'Retries of its own since its worker started.';
COMMENT ON COLUMN device.reported       IS 'The status in its worker''s own words; for a moment it lags behind the reservation.';
COMMENT ON COLUMN device.changed_at     IS 'When anything but the counters last changed.';

CREATE INDEX device_by_worker ON device (worker);

ALTER TABLE reservation
    ADD CONSTRAINT reservation_of_known_device FOREIGN KEY (holds) REFERENCES device (serial);

-- A device's row shows its reservation, so that `SELECT * FROM device` tells all. It can't be forgotten anywhere,
-- also not in an UPDATE by hand, because the database itself carries it over.
CREATE FUNCTION show_reservation_in_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.ended_at IS NULL THEN
        UPDATE device
           SET reservation = NEW.id, client = NEW.client, kind = NEW.kind, reserved_until = NEW.expires_at,
               changed_at = CASE WHEN reservation IS DISTINCT FROM NEW.id THEN now() ELSE changed_at END
         WHERE serial = NEW.serial;
    ELSE
        UPDATE device
           SET reservation = NULL, client = NULL, kind = NULL, reserved_until = NULL, changed_at = now()
         WHERE reservation = NEW.id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER reservation_shown_in_device
    AFTER INSERT OR UPDATE OF ended_at, expires_at, client, kind ON reservation
    FOR EACH ROW EXECUTE FUNCTION show_reservation_in_device();

-- Ended stays ended: what a board was used for can't be rewritten, nor an old reservation be revived.
CREATE FUNCTION refuse_revival() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'reservation % has ended and cannot be changed any more', OLD.id USING ERRCODE = 'check_violation';
END
$$;

CREATE TRIGGER reservation_ended_stays_ended
    BEFORE UPDATE ON reservation
    FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL) EXECUTE FUNCTION refuse_revival();

CREATE TABLE token (
    hash       text        PRIMARY KEY,
    name       text        NOT NULL,
    role       text        NOT NULL CHECK (role IN ('client', 'worker', 'operator')),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

COMMENT ON TABLE  token            IS 'Tokens that let somebody sign in. The tokens themselves are not kept.';
COMMENT ON COLUMN token.hash       IS 'SHA-256 of the token, hexadecimal.';
COMMENT ON COLUMN token.name       IS 'Name under which an operator finds it.';
COMMENT ON COLUMN token.role       IS 'What its holder may sign in as; an operator also as client or worker.';
COMMENT ON COLUMN token.revoked_at IS 'When it was revoked; null while it is valid.';

CREATE UNIQUE INDEX token_name_of_valid ON token (name) WHERE revoked_at IS NULL;

CREATE VIEW active_reservation AS
    SELECT serial, client, kind, worker, created_at, expires_at, expires_at - now() AS left_over, options, id
      FROM reservation
     WHERE ended_at IS NULL
     ORDER BY expires_at, serial;

COMMENT ON VIEW active_reservation IS 'The reservations that have not ended, the first to expire first.';

CREATE VIEW worker_overview AS
    SELECT w.name, w.status, w.draining, w.host, w.version, w.last_seen,
           count(d.serial) AS devices,
           count(*) FILTER (WHERE d.status = 'available') AS available,
           count(*) FILTER (WHERE d.status = 'reserved') AS reserved,
           count(*) FILTER (WHERE d.status IN ('flashing', 'testing')) AS preparing,
           count(*) FILTER (WHERE d.status = 'broken') AS broken,
           count(*) FILTER (WHERE d.status = 'offline') AS offline
      FROM worker w LEFT JOIN device d ON d.worker = w.name
     GROUP BY w.name
     ORDER BY w.name;

COMMENT ON VIEW worker_overview IS 'The workers with the state of their boards in numbers.';
