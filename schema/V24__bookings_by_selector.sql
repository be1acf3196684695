-- A booking may be of boards that a selector selects, such as lab=3.

ALTER TABLE booking ADD COLUMN selector text CHECK (selector <> '');

COMMENT ON COLUMN booking.selector IS 'Which boards it is of; null: any, and no virtual ones where the farm has real ones.';
