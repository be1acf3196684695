-- A reservation has a priority, and may belong to a group of boards that becomes smaller and larger: those of one request.

ALTER TABLE reservation
    ADD COLUMN priority double precision NOT NULL DEFAULT 50,
    ADD COLUMN wanted   integer,
    ADD COLUMN at_least integer,
    ADD COLUMN selector text,
    ADD CONSTRAINT reservation_keeps_what_it_wants CHECK (at_least IS NULL OR at_least BETWEEN 1 AND wanted);

COMMENT ON COLUMN reservation.priority IS 'Of the request that it was made for: 0 to 100, higher ones first.';
COMMENT ON COLUMN reservation.wanted   IS 'How many boards its request would like to have; null: those that it got.';
COMMENT ON COLUMN reservation.at_least IS 'How many of these it keeps when others ask for boards; null: all.';
COMMENT ON COLUMN reservation.selector IS 'Which boards its request would like to have; null: any.';

ALTER TABLE request
    ADD COLUMN priority double precision NOT NULL DEFAULT 50,
    ADD COLUMN at_least integer;

COMMENT ON COLUMN request.priority IS '0 to 100; higher ones are served first.';
COMMENT ON COLUMN request.at_least IS 'With how many boards it can begin; null: with all.';
