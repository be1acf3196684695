-- Runs: the streams of evaluations that experiments are made of. One that has ended can be cited by its manifest's digest.

CREATE TABLE run (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    experiment  bigint      NOT NULL REFERENCES experiment (id) ON DELETE CASCADE,
    account     text        NOT NULL,
    number      text        NOT NULL,
    client      text        NOT NULL,
    -- What its client said of it: icefarm.contract.RunReport.
    told        json        NOT NULL,
    begun_at    timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    closed_at   timestamptz,
    manifest_id text        UNIQUE,
    manifest    text,
    results     bigint      NOT NULL DEFAULT 0,
    failed      bigint      NOT NULL DEFAULT 0,
    boards      integer     NOT NULL DEFAULT 0,
    last_seq    bigint,
    first_day   date,
    last_day    date,
    dropped_at  timestamptz,
    UNIQUE (account, number),
    CONSTRAINT run_is_closed_with_its_manifest CHECK ((closed_at IS NULL) = (manifest IS NULL))
);

CREATE INDEX run_by_experiment ON run (experiment, id);
CREATE INDEX run_open ON run (id) WHERE closed_at IS NULL;
CREATE INDEX run_by_day ON run (first_day) WHERE dropped_at IS NULL;
CREATE INDEX run_by_manifest ON run (manifest_id text_pattern_ops);
CREATE INDEX run_by_number ON run (number text_pattern_ops);

COMMENT ON TABLE  run             IS 'Streams of evaluations; each has a manifest once it has ended.';
COMMENT ON COLUMN run.number      IS 'Chosen by the client; the ids of its evaluations begin with it.';
COMMENT ON COLUMN run.ended_at    IS 'When its client said that it has ended.';
COMMENT ON COLUMN run.closed_at   IS 'When the manifest was made; the run never changes after that.';
COMMENT ON COLUMN run.manifest_id IS 'SHA-256 of the manifest: the id by which the run is cited.';
COMMENT ON COLUMN run.last_seq    IS 'The last measurement that arrived before it was closed.';
COMMENT ON COLUMN run.dropped_at  IS 'When the archive began to drop its results.';
