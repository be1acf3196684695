-- Requests that wait for boards, so that everybody keeps their place when control is restarted; and what a reservation
-- must remember for that: which request it answers, so that one that is asked again gets the same boards.

CREATE TABLE request (
    id       text        PRIMARY KEY,
    number   bigint      NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
    client   text        NOT NULL,
    kind     text        NOT NULL,
    amount   integer     CHECK (amount > 0),
    serials  text[]      CHECK (cardinality(serials) > 0),
    options  json        NOT NULL DEFAULT '{}',
    since    timestamptz NOT NULL DEFAULT now(),
    wait_until timestamptz,
    CONSTRAINT request_is_for_a_number_or_for_these CHECK (num_nulls(amount, serials) = 1)
);

COMMENT ON TABLE  request            IS 'Requests that wait for boards. One that is served or given up goes from here.';
COMMENT ON COLUMN request.id         IS 'Chosen by the client: with it, it asks again after a lost connection, and keeps its place.';
COMMENT ON COLUMN request.number     IS 'The order in which they came.';
COMMENT ON COLUMN request.client     IS 'Who waits.';
COMMENT ON COLUMN request.kind       IS 'Device kind that the boards are wanted for.';
COMMENT ON COLUMN request.amount     IS 'How many boards; null where serials names them.';
COMMENT ON COLUMN request.serials    IS 'Which boards; null where any will do.';
COMMENT ON COLUMN request.options    IS 'Options of the kind.';
COMMENT ON COLUMN request.since      IS 'Since when it waits.';
COMMENT ON COLUMN request.wait_until IS 'Until when it waits; null: until it is served or given up.';

CREATE INDEX request_by_client ON request (client);

ALTER TABLE reservation
    ADD COLUMN request text,
    ADD COLUMN grace   double precision CHECK (grace >= 0);

COMMENT ON COLUMN reservation.request IS 'The request that it answers.';
COMMENT ON COLUMN reservation.grace   IS 'Seconds that its client may be away before it ends; null: as the farm is set.';

CREATE INDEX reservation_active_by_request ON reservation (request) WHERE ended_at IS NULL;

CREATE VIEW queue AS
    SELECT row_number() OVER (ORDER BY has_boards, number) AS place,
           client, kind, coalesce(amount, cardinality(serials)) AS amount, serials, since, now() - since AS waited, id
      FROM (SELECT *, EXISTS (SELECT FROM device d WHERE d.client = request.client) AS has_boards FROM request) waiting
     ORDER BY place;

COMMENT ON VIEW queue IS 'Who waits for boards, the next one first: those who have none before those who have some.';
