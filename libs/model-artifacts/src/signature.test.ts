import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { otherPublicKeys, privateKeyPem, publicKeyPem, publicKeys } from './artifact.fixture.ts';
import { checkSignature, generateSigningKeys, loadPublicKeys, publicKeyOf, readPublicKeys, signManifest } from './signature.ts';

const bytes = Buffer.from('{"a":1}\n');

test('a signature is the raw 64 bytes and holds for exactly these bytes and this key', () => {
  const signature = signManifest(bytes, privateKeyPem);
  expect(signature).toHaveLength(64);
  expect(checkSignature(bytes, signature, [...otherPublicKeys, ...publicKeys])).toEqual({ keyId: publicKeys[0]?.keyId });
  expect(checkSignature(bytes, signature, otherPublicKeys)).toBeUndefined();
  expect(checkSignature(bytes, signature, [])).toBeUndefined();
  expect(checkSignature(Buffer.from('{"a":2}\n'), signature, publicKeys)).toBeUndefined();
  expect(checkSignature(bytes, signature.subarray(0, 63), publicKeys)).toBeUndefined();
  expect(checkSignature(bytes, Buffer.concat([signature, Buffer.from([0])]), publicKeys)).toBeUndefined();
  const flipped = Buffer.from(signature);
  flipped[5] = (flipped[5] ?? 0) ^ 1;
  expect(checkSignature(bytes, flipped, publicKeys)).toBeUndefined();
});

test('a key is named by its public half', () => {
  const pair = generateSigningKeys();
  expect(pair.keyId).toMatch(/^[0-9a-f]{16}$/);
  expect(publicKeyOf(pair.privateKeyPem)).toMatchObject({ keyId: pair.keyId, pem: pair.publicKeyPem });
});

test('public keys are read from files, several in one', async () => {
  await using directory = await temporaryDirectory();
  const [one, two] = [join(directory.path, 'one.pem'), join(directory.path, 'two.pem')];
  await writeFile(one, publicKeyPem);
  await writeFile(two, `# next\n${generateSigningKeys().publicKeyPem}\n${generateSigningKeys().publicKeyPem}`);
  expect(await loadPublicKeys([one, two])).toHaveLength(3);
  await expect(loadPublicKeys([join(directory.path, 'none.pem')])).rejects.toThrow(/none\.pem cannot be read \(ENOENT\)/);
});

test('what is no Ed25519 public key is refused without showing it', () => {
  expect(() => readPublicKeys(privateKeyPem, 'a.pem')).toThrow(/a\.pem holds a private key/);
  expect(() => readPublicKeys('hello', 'a.pem')).toThrow(/no PEM block/);
  expect(() => readPublicKeys('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', 'a.pem')).toThrow(/no public key/);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  expect(() => readPublicKeys(rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString(), 'a.pem')).toThrow(/of type rsa: expected ed25519/);
  expect(() => signManifest(bytes, rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())).toThrow(/of type rsa/);
  expect(() => signManifest(bytes, 'SECRET')).toThrow(expect.not.objectContaining({ message: expect.stringContaining('SECRET') as string }));
});
