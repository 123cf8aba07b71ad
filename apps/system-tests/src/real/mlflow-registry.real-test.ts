import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createMlflowRegistry } from '@pointsman/model-registry';
import { describeModelRegistry } from '@pointsman/model-registry/conformance';
import { eventually, freePort, temporaryDirectory } from '@pointsman/testing';

/** The promises of every registry, kept by a real MLflow with its own database and artifact proxy. */
describeModelRegistry('a real MLflow', async () => {
  const program = process.env['MLFLOW'];
  if (program === undefined) throw new Error('MLFLOW is not set: run this through `npm run test:real -- --only mlflow`.');
  const directory = await temporaryDirectory();
  const port = await freePort();
  const child = spawn(program, [
    'server', '--host', '127.0.0.1', '--port', String(port), '--workers', '1', '--backend-store-uri', `sqlite:///${join(directory.path, 'mlflow.db')}`, '--serve-artifacts', '--artifacts-destination', join(directory.path, 'artifacts'),
  ], { cwd: directory.path, stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { PATH: process.env['PATH'], HOME: directory.path, MLFLOW_DISABLE_TELEMETRY: 'true', DO_NOT_TRACK: 'true' } });
  let words = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (words = (words + chunk).slice(-10_000)));
  const stop = async (): Promise<void> => {
    // The server starts workers of its own: the group ends together.
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, 'SIGTERM');
      await once(child, 'exit');
    }
    await directory[Symbol.asyncDispose]();
  };
  const url = `http://127.0.0.1:${String(port)}`;
  try {
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`MLflow ended: ${words}`);
      const { status } = await fetch(`${url}/health`);
      if (status !== 200) throw new Error(`MLflow answers ${String(status)}: ${words}`);
    }, { timeoutMs: 100_000 });
  } catch (error) {
    await stop();
    throw error;
  }
  return { registry: createMlflowRegistry({ url, timeoutMs: 60_000 }), other: createMlflowRegistry({ url, timeoutMs: 60_000 }), [Symbol.asyncDispose]: stop };
});
