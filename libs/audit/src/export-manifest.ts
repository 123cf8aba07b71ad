import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from './canonical-json.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().nonnegative();
const rowSchema = z.object({ id: z.string(), hash: z.string() });
const placeSchema = z.object({ seq: z.number().int().positive(), hash: z.string() });
const chainSchema = z.object({ chain: z.string(), rows: count, first: placeSchema, last: placeSchema });
const day = z.string().regex(/^\d{4}-\d{2}-\d{2}$/);

/** What a day's files are: written anew, under the next number, when a day gets more parts. Tolerant: a newer exporter may add fields. */
export const auditManifestSchema = z.object({
  schema_version: z.literal(1),
  day,
  /** Of this day, from 1; the highest lists all parts of the day. */
  number: z.number().int().positive(),
  /** Over all days, from 1, without gaps: a manifest that was taken away shows. */
  sequence: z.number().int().positive(),
  created_at: z.string(),
  /** The manifest that was written before this one, of whatever day. */
  previous: z.object({ key: z.string(), sequence: z.number().int().positive(), sha256 }).nullable(),
  rows: count,
  bytes: count,
  /** In the order they were written. `first` and `last` in the order of the file. */
  parts: z.array(z.object({ key: z.string(), rows: count, bytes: count, sha256, first: rowSchema, last: rowSchema })),
  /** Lowest and highest row of each chain among the parts, sorted by chain. */
  chains: z.array(chainSchema),
});
export type AuditManifest = z.infer<typeof auditManifestSchema>;
export type AuditManifestChain = z.infer<typeof chainSchema>;

/** The exact bytes that are stored and signed. */
export function auditManifestText(manifest: AuditManifest): string {
  return `${canonicalJson(manifest)}\n`;
}

/** Adds the rows of one part to those of its chain. */
export function mergeManifestChains(chains: Iterable<AuditManifestChain>): AuditManifestChain[] {
  const merged = new Map<string, AuditManifestChain>();
  for (const next of chains) {
    const known = merged.get(next.chain);
    merged.set(next.chain, known === undefined ? next : {
      chain: next.chain, rows: known.rows + next.rows,
      first: next.first.seq < known.first.seq ? next.first : known.first, last: next.last.seq > known.last.seq ? next.last : known.last,
    });
  }
  return [...merged.values()].sort((a, b) => (a.chain < b.chain ? -1 : 1));
}

export function signAuditManifest(bytes: Buffer, key: KeyObject): Buffer {
  return sign(null, bytes, key);
}

export function isSignedBy(bytes: Buffer, signature: Buffer, keys: readonly KeyObject[]): boolean {
  return signature.length === 64 && keys.some((key) => verify(null, bytes, key, signature));
}

/** An Ed25519 public key out of a PEM text. @throws Error that repeats nothing of the text. */
export function readAuditPublicKey(pem: string): KeyObject {
  let key: KeyObject;
  try {
    // A private key would be taken, too, and made public: nobody should keep one where a public one is enough.
    if (pem.includes('PRIVATE KEY')) throw new Error('private');
    key = createPublicKey(pem);
  } catch {
    throw new Error('is no PEM of a public key');
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('is no Ed25519 key');
  return key;
}
