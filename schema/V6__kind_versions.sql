-- Each kind that a worker offers has a version of its own.

ALTER TABLE worker ADD COLUMN kind_versions jsonb NOT NULL DEFAULT '{}';

COMMENT ON COLUMN worker.kind_versions IS 'The versions of its kinds, by name.';
