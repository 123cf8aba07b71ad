/** Rows that a chain writes about itself. */
export const CHAIN_ACTIONS = {
  /** The first row; `after.previous` names the ends of earlier chains, where they are known. */
  opened: 'audit.opened',
  /** The end of an earlier chain that became known later; as above. */
  inherited: 'audit.inherited',
  /** The last row of a process that ended properly; `after.rows` counts the rows of the chain, this one included. */
  closed: 'audit.closed',
} as const;
