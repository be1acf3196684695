-- Operators label boards and workers; requests choose boards by their labels and by what else is known of them.

ALTER TABLE worker
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object');

ALTER TABLE device
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
    ADD COLUMN model  text;

-- Workers say which boards are real when they report next.  Boards that no worker reports any more are not to keep
-- virtual ones, which may be all that the farm has, from requests.
UPDATE device SET model = 'unknown';

ALTER TABLE request
    ADD COLUMN selector text;

ALTER TABLE measurement
    ADD COLUMN board_labels json;

COMMENT ON COLUMN worker.labels   IS 'What operators note of it, text by name; its boards have these labels too.';
COMMENT ON COLUMN device.labels   IS 'What operators note of it, text by name; of two with one name, this and not its worker''s.';
COMMENT ON COLUMN device.model    IS 'What a virtual board does with a circuit: simulated, landscape, both, or other; unknown: not reported since the column exists; null: a real board.';
COMMENT ON COLUMN request.selector IS 'Which boards it may have; null: any.';
COMMENT ON COLUMN measurement.board_labels IS 'The labels of the board when it measured.';
