import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AppError } from '@pointsman/errors';

/** Bytes of an Ed25519 signature (RFC 8032). */
export const SIGNATURE_BYTES = 64;

export interface PublicKey {
  /** First 16 hex digits of the SHA-256 over the key's SPKI DER: names a key without showing it. */
  readonly keyId: string;
  readonly key: KeyObject;
}

/** Signs the exact bytes of a manifest with Ed25519 (RFC 8032, no pre-hash). Returns the raw 64 bytes. @throws AppError `bad_private_key` */
export function signManifest(bytes: Uint8Array, privateKeyPem: string): Buffer {
  return sign(null, bytes, privateKeyOf(privateKeyPem));
}

/** The public half of a private key. @throws AppError `bad_private_key` */
export function publicKeyOf(privateKeyPem: string): PublicKey & { readonly pem: string } {
  const key = createPublicKey(privateKeyOf(privateKeyPem));
  return { keyId: keyIdOf(key), key, pem: key.export({ type: 'spki', format: 'pem' }).toString() };
}

/** Which of the keys made the signature; undefined when none did. Ed25519 verification has no secrets, hence nothing to time. */
export function checkSignature(bytes: Uint8Array, signature: Uint8Array, keys: readonly PublicKey[]): { readonly keyId: string } | undefined {
  if (signature.length !== SIGNATURE_BYTES) return undefined;
  const found = keys.find(({ key }) => verify(null, bytes, key, signature));
  return found === undefined ? undefined : { keyId: found.keyId };
}

/** The public keys of PEM files, one or more in each (two while keys are being exchanged). @throws AppError `bad_public_key` that names the file */
export async function loadPublicKeys(pemFiles: readonly string[]): Promise<readonly PublicKey[]> {
  const keys: PublicKey[] = [];
  for (const file of pemFiles) keys.push(...readPublicKeys(await read(file), file));
  return keys;
}

/** @throws AppError `bad_public_key` that names where the text is from */
export function readPublicKeys(pem: string, from: string): readonly PublicKey[] {
  const bad = (problem: string): AppError => new AppError('invalid_request', 'bad_public_key', `${from} ${problem}.`);
  if (pem.includes('PRIVATE KEY-----')) throw bad('holds a private key: only the public half belongs where models are checked');
  const blocks = pem.match(/-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g);
  if (blocks === null) throw bad('holds no PEM block "PUBLIC KEY"');
  return blocks.map((block) => {
    let key: KeyObject;
    try {
      key = createPublicKey(block);
    } catch {
      throw bad('holds a PEM block that is no public key');
    }
    if (key.asymmetricKeyType !== 'ed25519') throw bad(`holds a key of type ${key.asymmetricKeyType ?? 'unknown'}: expected ed25519`);
    return { keyId: keyIdOf(key), key };
  });
}

/** A new key pair as PEM: PKCS #8 (not encrypted: keep it in a vault) and SPKI. */
export function generateSigningKeys(): { readonly privateKeyPem: string; readonly publicKeyPem: string; readonly keyId: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(), keyId: keyIdOf(publicKey) };
}

function keyIdOf(key: KeyObject): string {
  return createHash('sha256').update(key.export({ type: 'spki', format: 'der' })).digest('hex').slice(0, 16);
}

function privateKeyOf(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The cause may quote the key.
    throw new AppError('invalid_request', 'bad_private_key', 'The signing key is no private key in PEM (PKCS #8, not encrypted).');
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new AppError('invalid_request', 'bad_private_key', `The signing key is of type ${key.asymmetricKeyType ?? 'unknown'}: expected ed25519.`);
  return key;
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new AppError('invalid_request', 'bad_public_key', `${file} cannot be read (${code}).`, { cause: error });
  }
}
