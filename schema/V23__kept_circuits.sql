-- Circuits that clients asked to keep with their runs, once for each account.

CREATE TABLE kept_circuit (
    account text    NOT NULL,
    sha256  text    NOT NULL,
    length  integer NOT NULL,
    block   bytea   NOT NULL,
    PRIMARY KEY (account, sha256)
);

CREATE TABLE run_circuit (
    account text        NOT NULL,
    number  text        NOT NULL,
    sha256  text        NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, number, sha256)
);

CREATE INDEX run_circuit_by_circuit ON run_circuit (account, sha256);

COMMENT ON TABLE  kept_circuit       IS 'Bitstreams in their normal form; dropped with the results of the last run that has them.';
COMMENT ON COLUMN kept_circuit.length IS 'Bytes of the bitstream; the block is its LZ4 form.';
COMMENT ON TABLE  run_circuit        IS 'Which runs have which kept circuits.';
