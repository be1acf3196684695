-- Boards that are booked: kept for an account, or for a group of accounts, from one time to another.

CREATE TABLE booking (
    id         text             PRIMARY KEY DEFAULT replace(gen_random_uuid()::text, '-', ''),
    account    text             NOT NULL CHECK (account <> '' AND strpos(account, '/') = 0),
    amount     integer          NOT NULL CHECK (amount > 0),
    serials    text[]           NOT NULL DEFAULT '{}',
    kind       text,
    starts_at  timestamptz      NOT NULL,
    ends_at    timestamptz      NOT NULL,
    kept       integer          NOT NULL,
    booked_by  text             NOT NULL,
    created_at timestamptz      NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    end_reason text,
    CONSTRAINT booking_lasts CHECK (ends_at > starts_at),
    CONSTRAINT booking_keeps_what_was_booked CHECK (kept BETWEEN 0 AND amount),
    CONSTRAINT booking_names_all_or_none CHECK (cardinality(serials) IN (0, amount)),
    CONSTRAINT booking_has_reason_once_ended CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);

COMMENT ON TABLE  booking            IS 'Boards that are kept for an account for a time; those that are over are kept as history.';
COMMENT ON COLUMN booking.account    IS 'The account, or the group of accounts, that gets the boards.';
COMMENT ON COLUMN booking.serials    IS 'These boards; empty: any.';
COMMENT ON COLUMN booking.kind       IS 'Boards that can be of this device kind; null: of any.';
COMMENT ON COLUMN booking.kept       IS 'How many boards it still keeps: those that nobody takes are released.';
COMMENT ON COLUMN booking.booked_by  IS 'The client that booked.';
COMMENT ON COLUMN booking.ended_at   IS 'When it ended: it was over or cancelled, or had released its last board; null before.';

CREATE INDEX booking_current ON booking (starts_at) WHERE ended_at IS NULL;
CREATE INDEX booking_by_end ON booking (ends_at);

-- Which group an account belongs to, such as a class.
CREATE TABLE account_group (
    account text PRIMARY KEY CHECK (account <> '' AND strpos(account, '/') = 0),
    name    text NOT NULL CHECK (name <> '' AND strpos(name, '/') = 0)
);

COMMENT ON TABLE account_group IS 'The group that an account belongs to, such as a class; icefarm accounts import sets it.';

ALTER TABLE reservation ADD COLUMN limited_by text;

COMMENT ON COLUMN reservation.limited_by IS 'Why it cannot be extended beyond its end: the booking that needs its board then.';
