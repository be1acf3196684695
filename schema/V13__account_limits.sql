-- What an operator has set for single accounts; for all others, the farm's limits hold (option --limit of control).

CREATE TABLE account_limit (
    account text             NOT NULL CHECK (account <> '' AND strpos(account, '/') = 0),
    name    text             NOT NULL,
    value   double precision NOT NULL CHECK (value > 0),
    PRIMARY KEY (account, name)
);

COMMENT ON TABLE  account_limit       IS 'Limits of single accounts; icefarm account limits sets them.';
COMMENT ON COLUMN account_limit.name  IS 'boards, sessions, queue, ...: docs/security.md lists them.';
