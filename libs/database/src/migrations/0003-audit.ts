/** The audit log. The record is kept as the text it came as (json, not jsonb): its hash is over that content, and jsonb refuses some of it. */
export const audit = {
  name: '0003-audit',
  sql: `
CREATE TABLE pointsman.audit_log (
  arrival bigserial PRIMARY KEY,
  chain text NOT NULL,
  seq bigint NOT NULL,
  at timestamptz NOT NULL,
  record json NOT NULL,
  CONSTRAINT audit_log_chain_seq UNIQUE (chain, seq)
);

-- Numbers are given in the order transactions end, because the next writer waits for the one before: a reader who stands at a number misses nothing below it.
CREATE FUNCTION pointsman.audit_in_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7241883190442158);
  RETURN NULL;
END $$;

CREATE FUNCTION pointsman.audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'The audit log is append-only: % refused.', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER in_line BEFORE INSERT ON pointsman.audit_log FOR EACH STATEMENT EXECUTE FUNCTION pointsman.audit_in_line();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON pointsman.audit_log FOR EACH ROW EXECUTE FUNCTION pointsman.audit_refuse();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON pointsman.audit_log FOR EACH STATEMENT EXECUTE FUNCTION pointsman.audit_refuse();
`,
};
