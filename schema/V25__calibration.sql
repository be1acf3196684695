-- Boards are calibrated: what they measured of reference circuits, and what follows of it.

CREATE TABLE reference_reading (
    id            bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial        text             NOT NULL,
    reference     text             NOT NULL,
    at            timestamptz      NOT NULL,
    expected_hz   double precision NOT NULL CHECK (expected_hz > 0),
    pulses        double precision NOT NULL CHECK (pulses >= 0),
    window_us     bigint           NOT NULL CHECK (window_us > 0),
    temperature_c double precision,
    firmware      text             NOT NULL,
    instance      text             NOT NULL
);

CREATE INDEX reference_reading_by_board ON reference_reading (serial, reference, at);
CREATE INDEX reference_reading_by_time ON reference_reading (at);

COMMENT ON TABLE  reference_reading             IS 'Windows in which idle boards measured reference circuits.';
COMMENT ON COLUMN reference_reading.expected_hz IS 'What a board without any deviation shows.';
COMMENT ON COLUMN reference_reading.pulses      IS 'What the board counted in the window.';
COMMENT ON COLUMN reference_reading.instance    IS 'The start of the worker''s process: each has one of its own.';

CREATE TABLE calibration (
    id         text        PRIMARY KEY,
    serial     text        NOT NULL,
    reference  text        NOT NULL,
    valid_from timestamptz NOT NULL,
    -- icefarm.calibration.records.Calibration
    figures    json        NOT NULL
);

CREATE INDEX calibration_by_board ON calibration (serial, reference, valid_from);

COMMENT ON TABLE  calibration            IS 'How boards deviate, from their readings; results name the one of their board by its id.';
COMMENT ON COLUMN calibration.id         IS 'Made of its content.';
COMMENT ON COLUMN calibration.valid_from IS 'The time of the reading that completed it.';

ALTER TABLE device ADD COLUMN calibration jsonb;

COMMENT ON COLUMN device.calibration IS 'Its present calibration in figures, which requests can select by: icefarm.contract.BoardCalibration; null: none.';

ALTER TABLE measurement ADD COLUMN calibration text;

COMMENT ON COLUMN measurement.calibration IS 'The id of the board''s calibration when it measured; the value is not corrected.';
