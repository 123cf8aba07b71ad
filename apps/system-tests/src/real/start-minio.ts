import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import type { OpenObjectStoreOptions } from '@pointsman/object-store';
import { eventually, freePort, signedS3Request, temporaryDirectory } from '@pointsman/testing';
import { expect } from 'vitest';

export interface RunningMinio extends AsyncDisposable {
  readonly endpoint: string;
  readonly pid: number;
  readonly options: OpenObjectStoreOptions;
  /** Makes a bucket, with versions and Object Lock when asked for. Its name. */
  makeBucket(versions: boolean): Promise<string>;
}

/** MinIO with one folder and a key for server-side encryption. */
export async function startMinio(): Promise<RunningMinio> {
  const binary = process.env['MINIO'];
  if (binary === undefined) throw new Error('MINIO is not set: run this through `npm run test:real -- --only minio`.');
  const directory = await temporaryDirectory();
  const port = await freePort();
  const accessKeyId = 'pointsman-test';
  const secretAccessKey = randomUUID();
  const child = spawn(binary, ['server', join(directory.path, 'data'), '--address', `127.0.0.1:${port}`, '--quiet'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: directory.path, MINIO_ROOT_USER: accessKeyId, MINIO_ROOT_PASSWORD: secretAccessKey, MINIO_KMS_SECRET_KEY: `test-key:${randomBytes(32).toString('base64')}`, MINIO_BROWSER: 'off' },
  });
  let words = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (words = (words + chunk).slice(-10_000)));
  const endpoint = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    await directory[Symbol.asyncDispose]();
  };
  try {
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`MinIO ended: ${words}`);
      // Its health answers before its stores do: only a request that needs them tells.
      const { status } = await signedS3Request({ endpoint, region: 'us-east-1', accessKeyId, secretAccessKey, method: 'GET', path: '/' });
      if (status !== 200) throw new Error(`MinIO answers ${status}: ${words}`);
    }, { timeoutMs: 60_000 });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoint,
    pid: child.pid ?? 0,
    options: { endpoint, region: 'us-east-1', credentials: { accessKeyId, secretAccessKey } },
    makeBucket: async (versions) => {
      const name = `b-${randomUUID()}`;
      const reply = await signedS3Request({ endpoint, region: 'us-east-1', accessKeyId, secretAccessKey, method: 'PUT', path: `/${name}`, headers: versions ? { 'x-amz-bucket-object-lock-enabled': 'true' } : {} });
      expect(reply.status, await reply.text()).toBe(200);
      return name;
    },
    [Symbol.asyncDispose]: stop,
  };
}
