/** The ledger of the audit export: what was planned is written here before it goes to the object store, so that whoever comes next can finish it and nobody does it twice. */
export const auditExports = {
  name: '0004-audit-exports',
  sql: `
-- One row: all of audit_log up to this arrival is in parts. A change of either number tells planners that another was first.
CREATE TABLE pointsman.audit_export_position (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  arrival bigint NOT NULL DEFAULT 0,
  version bigint NOT NULL DEFAULT 0,
  holder text,
  held_until timestamptz
);
INSERT INTO pointsman.audit_export_position DEFAULT VALUES;

-- How far each chain is exported, and the numbers that were passed over: [[from, to], ...].
CREATE TABLE pointsman.audit_export_chains (
  chain text PRIMARY KEY,
  seq bigint NOT NULL,
  gaps jsonb NOT NULL DEFAULT '[]'
);
CREATE INDEX audit_export_chains_open ON pointsman.audit_export_chains (chain) WHERE gaps <> '[]';

CREATE TABLE pointsman.audit_exports (
  part_key text PRIMARY KEY,
  number bigserial UNIQUE,
  day date NOT NULL,
  -- Of the rows in the part; emptied once it is written.
  arrivals bigint[] NOT NULL,
  first_id text NOT NULL,
  first_hash text NOT NULL,
  last_id text NOT NULL,
  last_hash text NOT NULL,
  rows bigint NOT NULL,
  bytes bigint NOT NULL,
  sha256 text NOT NULL,
  -- [{chain, rows, first: {seq, hash}, last: {seq, hash}}, ...]
  chains jsonb NOT NULL,
  state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'written')),
  manifest bigint,
  planned_at timestamptz NOT NULL DEFAULT now(),
  written_at timestamptz
);
CREATE INDEX audit_exports_day ON pointsman.audit_exports (day, number);
CREATE INDEX audit_exports_planned ON pointsman.audit_exports (number) WHERE state = 'planned';
CREATE INDEX audit_exports_unlisted ON pointsman.audit_exports (day) WHERE manifest IS NULL;

CREATE TABLE pointsman.audit_export_manifests (
  sequence bigint PRIMARY KEY,
  day date NOT NULL,
  number bigint NOT NULL,
  manifest_key text NOT NULL UNIQUE,
  sha256 text NOT NULL,
  -- Both until they are written.
  body text,
  signature bytea,
  state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'written')),
  planned_at timestamptz NOT NULL DEFAULT now(),
  written_at timestamptz,
  UNIQUE (day, number)
);
CREATE INDEX audit_export_manifests_planned ON pointsman.audit_export_manifests (sequence) WHERE state = 'planned';
`,
};
