import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The key pair by which this pod's own router models are signed: made once. Returns the file of the public key. */
export function ensureModelKey(folder: string): string {
  const publicFile = join(folder, 'model-signing.pub.pem');
  if (existsSync(publicFile)) return publicFile;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(join(folder, 'model-signing.key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  writeFileSync(publicFile, publicKey.export({ type: 'spki', format: 'pem' }));
  return publicFile;
}
