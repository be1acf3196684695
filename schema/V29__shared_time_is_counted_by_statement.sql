-- now() is when the transaction began. One that had waited for its turn changed the shares of a board as of a moment in
-- the past, so the others were charged for less of its time than they had. Reservations begin with their statement
-- (V28); now shares change with it, too.

CREATE OR REPLACE FUNCTION follow_those_within() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    there integer;
    last  timestamptz;
BEGIN
    SELECT count(*), max(expires_at) INTO there, last
      FROM reservation WHERE within = NEW.within AND ended_at IS NULL;
    IF there = 0 THEN
        UPDATE reservation SET ended_at = greatest(created_at, NEW.ended_at), end_reason = 'nobody shares the board any more'
         WHERE id = NEW.within AND ended_at IS NULL;
        RETURN NULL;
    END IF;
    UPDATE reservation
       SET board_seconds = board_seconds
               + greatest(0, extract(epoch FROM statement_timestamp() - counted_at)::float8) / sharers,
           counted_at = greatest(counted_at, statement_timestamp()), sharers = there
     WHERE within = NEW.within AND ended_at IS NULL AND sharers <> there;
    UPDATE reservation SET expires_at = greatest(created_at, last)
     WHERE id = NEW.within AND ended_at IS NULL AND expires_at <> greatest(created_at, last);
    RETURN NULL;
END
$$;
