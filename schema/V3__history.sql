-- What the farm was like over the last day, for the dashboard's plots and the page of each board.
-- Control deletes what is older; nothing else depends on these tables, and emptying them harms nothing.

CREATE TABLE sample (
    at           timestamptz      NOT NULL,
    available    integer          NOT NULL,
    reserved     integer          NOT NULL,
    flashing     integer          NOT NULL,
    testing      integer          NOT NULL,
    broken       integer          NOT NULL,
    offline      integer          NOT NULL,
    rate         double precision NOT NULL,
    failing      double precision NOT NULL,
    waiting      integer          NOT NULL,
    longest_wait double precision NOT NULL
);

COMMENT ON TABLE  sample              IS 'The farm every few seconds.';
COMMENT ON COLUMN sample.available    IS 'Boards in this state; so are the next five.';
COMMENT ON COLUMN sample.rate         IS 'Evaluations per second.';
COMMENT ON COLUMN sample.failing      IS 'Failed evaluations per second.';
COMMENT ON COLUMN sample.waiting      IS 'Requests that waited for boards.';
COMMENT ON COLUMN sample.longest_wait IS 'How long the oldest of them had waited, seconds.';

CREATE INDEX sample_by_time ON sample (at);

CREATE TABLE board_sample (
    serial        text             NOT NULL,
    at            timestamptz      NOT NULL,
    rate          double precision NOT NULL,
    load_ms       double precision,
    window_ms     double precision,
    temperature_c double precision,
    failures      integer          NOT NULL,
    retries       integer          NOT NULL
);

COMMENT ON TABLE  board_sample               IS 'Each board that evaluates, every minute.';
COMMENT ON COLUMN board_sample.rate          IS 'Evaluations per second, over the minute.';
COMMENT ON COLUMN board_sample.load_ms       IS 'Mean time to load a bitstream into the FPGA, milliseconds.';
COMMENT ON COLUMN board_sample.window_ms     IS 'Mean window as measured on the board, milliseconds.';
COMMENT ON COLUMN board_sample.temperature_c IS 'Degrees Celsius, as the board said last.';
COMMENT ON COLUMN board_sample.failures      IS 'Evaluations that failed in the minute.';
COMMENT ON COLUMN board_sample.retries       IS 'What the board had to do again in the minute.';

CREATE INDEX board_sample_by_board ON board_sample (serial, at);
CREATE INDEX board_sample_by_time ON board_sample (at);

CREATE TABLE board_state (
    serial text        NOT NULL,
    at     timestamptz NOT NULL,
    worker text        NOT NULL,
    status text        NOT NULL,
    reason text,
    client text
);

COMMENT ON TABLE  board_state        IS 'Each change of a board''s state.';
COMMENT ON COLUMN board_state.status IS 'The state from then on.';
COMMENT ON COLUMN board_state.client IS 'Who had it reserved from then on.';

CREATE INDEX board_state_by_board ON board_state (serial, at);
CREATE INDEX board_state_by_time ON board_state (at);

CREATE TABLE log_line (
    at      timestamptz NOT NULL,
    worker  text        NOT NULL,
    serial  text,
    level   text        NOT NULL,
    message text        NOT NULL
);

COMMENT ON TABLE log_line IS 'What workers had to say of their boards.';

CREATE INDEX log_line_by_board ON log_line (serial, at);
CREATE INDEX log_line_by_time ON log_line (at);

CREATE INDEX reservation_by_creation ON reservation (created_at);
