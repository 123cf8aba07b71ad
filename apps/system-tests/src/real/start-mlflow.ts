import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { eventually, freePort, temporaryDirectory } from '@pointsman/testing';

export interface RunningMlflow extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
}

export interface StartMlflowOptions {
  /** As SQLAlchemy writes it: `postgresql+psycopg2://…`. An SQLite file of its own without it. */
  readonly backendStore?: string;
  /** `s3://bucket/prefix`. A folder of its own without it. */
  readonly artifacts?: string;
  /** What it reaches the artifacts with. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A real MLflow tracking server with its own database and artifact proxy. */
export async function startMlflow({ backendStore, artifacts, env = {} }: StartMlflowOptions = {}): Promise<RunningMlflow> {
  const program = process.env['MLFLOW'];
  if (program === undefined) throw new Error('MLFLOW is not set: run this through `npm run test:real -- --only mlflow`, or --only closed-loop.');
  const directory = await temporaryDirectory();
  const port = await freePort();
  const child = spawn(program, [
    'server', '--host', '127.0.0.1', '--port', String(port), '--workers', '1', '--backend-store-uri', backendStore ?? `sqlite:///${join(directory.path, 'mlflow.db')}`,
    '--serve-artifacts', '--artifacts-destination', artifacts ?? join(directory.path, 'artifacts'),
  ], { cwd: directory.path, stdio: ['ignore', 'pipe', 'pipe'], detached: true, env: { PATH: process.env['PATH'], HOME: directory.path, MLFLOW_DISABLE_TELEMETRY: 'true', DO_NOT_TRACK: 'true', ...env } });
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
    }, { timeoutMs: 180_000 });
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, [Symbol.asyncDispose]: stop };
}
