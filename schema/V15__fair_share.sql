-- Who waits is served by what its account has used lately, which control adds up from the reservations that have ended.

CREATE INDEX reservation_by_end ON reservation (ended_at) WHERE ended_at IS NOT NULL;

-- The order among those who wait changes as time passes, so that no column of a table can say it.
DROP VIEW queue;
CREATE VIEW queue AS
    SELECT client, kind, coalesce(amount, cardinality(serials)) AS amount, serials, since, now() - since AS waited, id
      FROM request
     ORDER BY since, number;

COMMENT ON VIEW queue IS 'Who waits for boards, the longest wait first; icefarm queue shows the order in which they are served.';
