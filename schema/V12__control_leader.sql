-- Of several controls of one farm, one leads: it holds a lock (icefarm/control/storage/leader.py). This row says which
-- one, and how often the lead has changed hands.

CREATE TABLE control_leader (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    term     bigint      NOT NULL,
    host     text        NOT NULL,
    pid      integer     NOT NULL,
    since    timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE  control_leader       IS 'The control that leads, or led last; one row at most.';
COMMENT ON COLUMN control_leader.term  IS 'Goes up by one each time that a control takes the lead.';
COMMENT ON COLUMN control_leader.host  IS 'The host name of that control.';
COMMENT ON COLUMN control_leader.pid   IS 'Its process id.';
COMMENT ON COLUMN control_leader.since IS 'When it took the lead.';
