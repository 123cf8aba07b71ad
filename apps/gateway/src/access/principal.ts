/** Who is calling, as far as limits, model access and the audit need to know. Never holds the key itself. */
export interface Principal {
  /** SHA-256 of the key, hex: the id of a key everywhere. */
  readonly keyHash: string;
  readonly keyAlias: string | undefined;
  readonly isAdmin: boolean;
  /** Model groups the key may use; undefined = all. May hold wildcards. */
  readonly models: ReadonlySet<string> | undefined;
  readonly userId: string | undefined;
  readonly teamId: string | undefined;
}

/** Whether the caller may ask for a model by this name. */
export function mayUseModel({ models }: Principal, name: string): boolean {
  return models === undefined || models.has(name);
}
