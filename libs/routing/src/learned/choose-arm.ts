import { murmurHash } from '../features/murmur-hash.ts';

export interface Arms {
  readonly stable: string | undefined;
  readonly canary: { readonly version: string; /** Percent, 0 to 100. */ readonly weight: number } | undefined;
}

/** Steps of a hundredth of a percent. */
const STEPS = 10_000;

/** The version that serves somebody: always the same one for the same key and shares, and nobody leaves the canary while its share grows. */
export function chooseArm({ stable, canary }: Arms, key: string): string | undefined {
  if (canary === undefined || canary.weight <= 0) return stable;
  // The version is part of what is hashed, so that not always the same people try what is new.
  const bytes = Buffer.from(`${canary.version}\0${key}`);
  return (murmurHash(bytes, 0, bytes.length) >>> 0) % STEPS < canary.weight * (STEPS / 100) ? canary.version : stable;
}
