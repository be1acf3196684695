-- A worker can be forgotten; what its boards were reserved for in the past is kept, with its name.

ALTER TABLE reservation DROP CONSTRAINT reservation_worker_fkey;
