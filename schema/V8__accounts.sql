-- A token belongs to an account: who signs in with it is that account, under whatever name. Tokens can expire, be
-- replaced while both are valid, and say when they were used last. What people did is kept for a while.

ALTER TABLE token
    ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN account text,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN replaced_at timestamptz,
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN last_used_from text;

-- A token that was made before accounts has its own name as its account. '/' separates an account from a name, so no
-- account has it; a part of the hash keeps two such names apart.
UPDATE token
   SET account = CASE WHEN strpos(name, '/') = 0 THEN name
                      ELSE left(replace(name, '/', '-'), 90) || '-' || left(hash, 8) END;

ALTER TABLE token
    ALTER COLUMN account SET NOT NULL,
    ADD CONSTRAINT token_account_is_one_part CHECK (account <> '' AND strpos(account, '/') = 0);

COMMENT ON COLUMN token.id             IS 'Names the token in sessions and in the audit log, where its hash has no place.';
COMMENT ON COLUMN token.account        IS 'Who signs in with it; several tokens may belong to one account.';
COMMENT ON COLUMN token.expires_at     IS 'When it stops being valid; null: never.';
COMMENT ON COLUMN token.replaced_at    IS 'When another token took over its name; it is valid until it expires.';
COMMENT ON COLUMN token.last_used_at   IS 'When it was last used, to within a minute.';
COMMENT ON COLUMN token.last_used_from IS 'The address from which it was last used.';

DROP INDEX token_name_of_valid;
CREATE UNIQUE INDEX token_name_of_current ON token (name) WHERE revoked_at IS NULL AND replaced_at IS NULL;

CREATE TABLE audit (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL,
    account text        NOT NULL,
    name    text        NOT NULL,
    role    text        NOT NULL,
    session bigint,
    address text,
    action  text        NOT NULL,
    subject text,
    outcome text        NOT NULL,
    detail  text
);

COMMENT ON TABLE  audit         IS 'Who did what. Control deletes what is older than its option --audit-days.';
COMMENT ON COLUMN audit.account IS 'Who did it; for a refused sign-in, the account that was asked for.';
COMMENT ON COLUMN audit.name    IS 'The name of the session, within the account.';
COMMENT ON COLUMN audit.session IS 'The session at the router; null for HTTP, the command line, and refused sign-ins.';
COMMENT ON COLUMN audit.address IS 'Where it came from, if known.';
COMMENT ON COLUMN audit.action  IS 'sign_in, reserve, extend, end, end_any, reboot, drain, delete, token_add, ...';
COMMENT ON COLUMN audit.subject IS 'What it was done to: boards, a worker, a token.';
COMMENT ON COLUMN audit.outcome IS '"done", or the name of the error.';
COMMENT ON COLUMN audit.detail  IS 'More, for people.';

CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_account ON audit (account, at);
