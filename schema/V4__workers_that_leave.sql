-- A worker can be asked to leave: drained, and gone for good when the last reservation of its boards has ended.

ALTER TABLE worker
    ADD COLUMN instance text    NOT NULL DEFAULT '',
    ADD COLUMN leaving  boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT worker_that_leaves_is_drained CHECK (draining OR NOT leaving);

COMMENT ON COLUMN worker.instance IS 'Chosen anew at each start of its process.';
COMMENT ON COLUMN worker.leaving  IS 'That process ends when nobody has boards of it any more; the next one is not drained.';
