-- Others than control write to some tables: the command line on the farm's host, an operator with psql. The channel
-- "icefarm" says which table they changed, so that a control that runs need not look for it.

CREATE FUNCTION announce_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('icefarm', TG_TABLE_NAME);
    RETURN NULL;
END
$$;

-- Control asks for tokens when somebody signs in; a session needs to know only that its own has ended.
CREATE TRIGGER token_change_is_announced
    AFTER UPDATE OF revoked_at, expires_at OR DELETE OR TRUNCATE ON token
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change();

CREATE TRIGGER account_limit_change_is_announced
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON account_limit
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change();

CREATE TRIGGER account_group_change_is_announced
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON account_group
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change();

CREATE TRIGGER access_rule_change_is_announced
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON access_rule
    FOR EACH STATEMENT EXECUTE FUNCTION announce_change();
