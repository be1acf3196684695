-- Which accounts may have which boards, for how long, and as what: rules of operators.

CREATE TABLE access_rule (
    id         bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account    text             CHECK (account <> '' AND strpos(account, '/') = 0),
    group_name text             CHECK (group_name <> ''),
    selector   text             CHECK (selector <> ''),
    seconds    double precision CHECK (seconds > 0),
    kinds      text[]           CHECK (cardinality(kinds) > 0),
    created_at timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT access_rule_is_for_one CHECK (num_nonnulls(account, group_name) <= 1)
);

COMMENT ON TABLE  access_rule            IS 'What accounts may have; an account without rules has those for everybody, and without these, everything.';
COMMENT ON COLUMN access_rule.account    IS 'For this account.';
COMMENT ON COLUMN access_rule.group_name IS 'For the accounts of this group; with neither, for all accounts that have no rules of their own.';
COMMENT ON COLUMN access_rule.selector   IS 'The boards that it allows; null: all.';
COMMENT ON COLUMN access_rule.seconds    IS 'How long one reservation may last with all of its extensions; null: as long as the limits allow.';
COMMENT ON COLUMN access_rule.kinds      IS 'The device kinds that it allows; null: all.';
