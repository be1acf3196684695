-- Every measurement is kept, with what it came from: the archive. Experiments are names over it, within an account.

-- A reservation's board can be plugged in at another worker. What the earlier one has still to deliver is accepted.
ALTER TABLE reservation ADD COLUMN past_workers text[] NOT NULL DEFAULT '{}';

COMMENT ON COLUMN reservation.past_workers IS 'Workers that had the board before, during this reservation.';

CREATE FUNCTION keep_past_worker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.past_workers := array_append(array_remove(OLD.past_workers, OLD.worker), OLD.worker);
    RETURN NEW;
END
$$;

CREATE TRIGGER reservation_keeps_past_workers BEFORE UPDATE OF worker ON reservation
    FOR EACH ROW WHEN (OLD.worker IS DISTINCT FROM NEW.worker) EXECUTE FUNCTION keep_past_worker();

CREATE TABLE experiment (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account    text        NOT NULL,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    active_at  timestamptz NOT NULL DEFAULT now(),
    -- As its client announced; null: it did not say.
    total      bigint,
    shared     boolean     NOT NULL DEFAULT true,
    UNIQUE (account, name)
);

CREATE INDEX experiment_by_name ON experiment (name);
CREATE INDEX experiment_by_activity ON experiment (active_at);

COMMENT ON TABLE  experiment         IS 'A name that measurements are kept under. Forgotten with the last of them.';
COMMENT ON COLUMN experiment.account IS 'Whose it is.';
COMMENT ON COLUMN experiment.active_at IS 'When something was last added to it.';
COMMENT ON COLUMN experiment.total   IS 'How many evaluations its client expects.';
COMMENT ON COLUMN experiment.shared  IS 'Whether other accounts may read it; on a private farm nobody else may.';

CREATE TABLE experiment_board (
    experiment bigint      NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    day        date        NOT NULL,
    serial     text        NOT NULL,
    done       bigint      NOT NULL,
    failed     bigint      NOT NULL,
    first_at   timestamptz NOT NULL,
    last_at    timestamptz NOT NULL,
    PRIMARY KEY (experiment, day, serial)
);

CREATE INDEX experiment_board_by_day ON experiment_board (day);

COMMENT ON TABLE  experiment_board        IS 'The measurements of an experiment, counted by day and board.';
COMMENT ON COLUMN experiment_board.done   IS 'Evaluations with a value.';
COMMENT ON COLUMN experiment_board.failed IS 'Evaluations that failed.';

CREATE TABLE experiment_figure (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experiment bigint      NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    at         timestamptz NOT NULL,
    figures    json        NOT NULL
);

CREATE INDEX experiment_figure_by_experiment ON experiment_figure (experiment, id);
CREATE INDEX experiment_figure_by_time ON experiment_figure (at);

COMMENT ON TABLE  experiment_figure         IS 'What clients reported of their experiments, such as the best fitness.';
COMMENT ON COLUMN experiment_figure.figures IS 'Numbers by name.';

CREATE SEQUENCE measurement_seq;

-- Partitions by day, such as measurement_20261128, are made and dropped by control.
CREATE TABLE measurement (
    seq              bigint           NOT NULL DEFAULT nextval('measurement_seq'),
    day              date             NOT NULL,
    evaluation_id    text             NOT NULL,
    experiment       bigint           NOT NULL,
    client           text             NOT NULL,
    reservation      text             NOT NULL,
    serial           text             NOT NULL,
    worker           text             NOT NULL,
    kind             text             NOT NULL,
    options          json             NOT NULL,
    value            json,
    number           double precision,
    error            text,
    message          text,
    sha256           text,
    circuit          text,
    labels           json,
    firmware         text,
    firmware_version text,
    origin           text,
    window_us        bigint,
    load_us          bigint,
    temperature_c    double precision,
    sequence         bigint,
    attempt          integer          NOT NULL,
    started_at       timestamptz,
    ended_at         timestamptz      NOT NULL,
    PRIMARY KEY (evaluation_id, reservation, day)
) PARTITION BY RANGE (day);

ALTER SEQUENCE measurement_seq OWNED BY measurement.seq;

CREATE INDEX measurement_by_experiment ON measurement (experiment, seq);
CREATE INDEX measurement_failed ON measurement (experiment, error) WHERE error IS NOT NULL;

COMMENT ON TABLE  measurement               IS 'Every evaluation that was answered: a measurement, or an error.';
COMMENT ON COLUMN measurement.seq           IS 'The order of arrival in the archive.';
COMMENT ON COLUMN measurement.day           IS 'The partition: the day (UTC) on which it ended, by the worker''s clock.';
COMMENT ON COLUMN measurement.evaluation_id IS 'Chosen by the client; a call that was repeated has one row.';
COMMENT ON COLUMN measurement.experiment    IS 'The experiment that it belongs to.';
COMMENT ON COLUMN measurement.client        IS 'Who asked for it.';
COMMENT ON COLUMN measurement.options       IS 'Of the kind and of the evaluation.';
COMMENT ON COLUMN measurement.value         IS 'What the client was answered; null if it failed.';
COMMENT ON COLUMN measurement.number        IS 'The value as one number: of several repeats, their mean; null where it is none.';
COMMENT ON COLUMN measurement.error         IS 'The name of the error; null if it did not fail.';
COMMENT ON COLUMN measurement.message       IS 'The error in words.';
COMMENT ON COLUMN measurement.sha256        IS 'Of the bitstream in its normal form.';
COMMENT ON COLUMN measurement.circuit       IS 'The name that the client gave the circuit, such as its file''s.';
COMMENT ON COLUMN measurement.labels        IS 'What else the client noted.';
COMMENT ON COLUMN measurement.origin        IS 'measured, simulated, extrapolated or landscape.';
COMMENT ON COLUMN measurement.window_us     IS 'As the board measured it, microseconds.';
COMMENT ON COLUMN measurement.load_us       IS 'To load the configuration into the FPGA, microseconds.';
COMMENT ON COLUMN measurement.temperature_c IS 'Of the board, degrees Celsius.';
COMMENT ON COLUMN measurement.sequence      IS 'Counts the board''s evaluations since it started.';
COMMENT ON COLUMN measurement.attempt       IS 'The latest call of the evaluation that this row answers.';

-- Attempts after the first are rare. An earlier attempt that arrives later, on another day, finds its successor here.
CREATE TABLE measurement_retry (
    experiment    bigint  NOT NULL,
    evaluation_id text    NOT NULL,
    attempt       integer NOT NULL,
    day           date    NOT NULL,
    PRIMARY KEY (evaluation_id, experiment)
);

COMMENT ON TABLE measurement_retry IS 'Evaluations whose archived value is not that of the first attempt.';

CREATE INDEX measurement_retry_by_day ON measurement_retry (day);
