-- Plots are made of sums by time: they take as long for a million results as for a thousand, and are exact.

CREATE TABLE experiment_step (
    experiment bigint           NOT NULL,
    day        date             NOT NULL,
    at         timestamptz      NOT NULL,
    serial     text             NOT NULL,
    done       integer          NOT NULL,
    failed     integer          NOT NULL,
    numbers    integer          NOT NULL,
    sum        double precision,
    least      double precision,
    most       double precision,
    PRIMARY KEY (experiment, day, at, serial)
);

CREATE INDEX experiment_step_by_day ON experiment_step (day);

COMMENT ON TABLE  experiment_step         IS 'The measurements of an experiment, summed up by board in steps of 16 seconds.';
COMMENT ON COLUMN experiment_step.day     IS 'The partition that its measurements are in.';
COMMENT ON COLUMN experiment_step.at      IS 'When the step begins: a multiple of 16 seconds since 1970.';
COMMENT ON COLUMN experiment_step.done    IS 'Evaluations with a value.';
COMMENT ON COLUMN experiment_step.failed  IS 'Evaluations that failed.';
COMMENT ON COLUMN experiment_step.numbers IS 'Values that are numbers; null in the columns after it without any.';

INSERT INTO experiment_step
SELECT experiment, day, date_bin('16 seconds', ended_at, to_timestamp(0)), serial,
       count(*) FILTER (WHERE error IS NULL), count(*) FILTER (WHERE error IS NOT NULL), count(number), sum(number),
       min(number), max(number)
  FROM measurement GROUP BY 1, 2, 3, 4;
