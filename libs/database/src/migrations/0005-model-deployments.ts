/** Which version of a router model got how much of the traffic, who decided it and why. Rows are only ever added. */
export const modelDeployments = {
  name: '0005-model-deployments',
  sql: `
CREATE TABLE pointsman.model_deployments (
  number bigserial PRIMARY KEY,
  model text NOT NULL,
  version text NOT NULL,
  -- SHA-256 of the manifest, where it was known.
  digest text,
  environment text NOT NULL,
  percent double precision NOT NULL CHECK (percent BETWEEN 0 AND 100),
  action text NOT NULL CHECK (action IN ('start', 'stage', 'promote', 'rollback')),
  actor text NOT NULL,
  reason text NOT NULL DEFAULT '',
  -- Served before and after by everybody who is not on a canary.
  from_version text,
  to_version text,
  at timestamptz NOT NULL
);
CREATE INDEX model_deployments_newest ON pointsman.model_deployments (model, number DESC);
`,
};
