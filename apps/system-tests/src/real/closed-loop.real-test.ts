import { openObjectStore } from '@pointsman/object-store';
import { startPostgres } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { CANARY, closeTheLoop, LOOP_MODEL, type LearnedVersion, type LoopMoment } from '../closed-loop.ts';
import { startMinio } from './start-minio.ts';
import { startMlflow } from './start-mlflow.ts';

// https://mlflow.org/docs/latest/rest-api.html, as the server answers: asked without the registry's own client. What is empty is left out.
type Pairs<T = string> = readonly { readonly key: string; readonly value: T }[];
interface RegisteredModel { readonly registered_model: { readonly aliases?: readonly { readonly alias: string; readonly version: string }[] } }
interface ModelVersions { readonly model_versions?: readonly { readonly version: string; readonly run_id: string; readonly source: string; readonly status: string; readonly tags?: Pairs }[] }
interface Run { readonly run: { readonly info: { readonly status: string; readonly artifact_uri: string; readonly run_name: string }; readonly data: { readonly params?: Pairs; readonly metrics?: Pairs<number> } } }

const asRecord = <T>(entries: Pairs<T> = []): Record<string, T> => Object.fromEntries(entries.map(({ key, value }) => [key, value]));

test('the loop closes over MinIO and an MLflow with PostgreSQL and MinIO behind it, which tells what each version was made of and which one is deployed', async () => {
  await using minio = await startMinio();
  await using postgres = await startPostgres();
  const bucket = await minio.makeBucket(false);
  const { accessKeyId = '', secretAccessKey = '' } = minio.options.credentials ?? {};
  const keys = { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  await using mlflow = await startMlflow({
    backendStore: postgres.url.replace(/^postgres:/, 'postgresql+psycopg2:'), artifacts: `s3://${bucket}/mlflow`,
    env: { ...keys, AWS_DEFAULT_REGION: keys.AWS_REGION, MLFLOW_S3_ENDPOINT_URL: minio.endpoint },
  });
  const store = await openObjectStore(`s3://${bucket}`, minio.options);
  const ask = async (path: string, query: Readonly<Record<string, string>>): Promise<unknown> => {
    const reply = await fetch(`${mlflow.url}/api/2.0/mlflow/${path}?${new URLSearchParams(query).toString()}`);
    const text = await reply.text();
    expect(reply.status, text).toBe(200);
    return JSON.parse(text);
  };
  const keysBelow = async (prefix: string): Promise<readonly string[]> => {
    const found: string[] = [];
    for await (const { key } of store.list(prefix)) found.push(key);
    return found;
  };

  const look = async (moment: LoopMoment, learned: ReadonlyMap<string, LearnedVersion>): Promise<void> => {
    const { model_versions: registered = [] } = await ask('model-versions/search', { filter: `name='${LOOP_MODEL}'` }) as ModelVersions;
    const numbers = new Map(registered.map(({ version, tags }) => [asRecord(tags)['pointsman.version'], version]));
    expect([...numbers.keys()].toSorted()).toEqual(['v1', 'v2', 'v3']);
    // One name tells what serves, and nothing is on trial any more.
    const { registered_model: { aliases } } = await ask('registered-models/get', { name: LOOP_MODEL }) as RegisteredModel;
    expect(aliases).toEqual([{ alias: 'champion', version: numbers.get('v2') }]);
    const marks = Object.fromEntries(registered.map(({ tags }) => [asRecord(tags)['pointsman.version'] ?? '', JSON.parse(asRecord(tags)['pointsman.deployed'] ?? 'null') as unknown]));
    expect(marks).toMatchObject({ v1: null, v2: { environment: 'prod', percent: 100, actor: 'ada' }, v3: moment === 'promoted' ? null : { environment: 'prod', percent: 0, actor: 'bob' } });

    // Dataset → run → version.
    for (const { run_id: runId, source, status, tags } of registered) {
      const version = asRecord(tags)['pointsman.version'] ?? '';
      const { manifest, digest, bytes } = learned.get(version) ?? expect.fail(`nobody trained ${version}`);
      const { training } = manifest;
      const folder = `models/${LOOP_MODEL}-${version}`;
      expect(asRecord(tags)).toMatchObject({ 'pointsman.digest': digest, 'pointsman.dataset_sha256': training.dataset_sha256, 'pointsman.artifact_url': `${store.url}/${folder}`, 'pointsman.registered_by': 'ada' });
      expect({ source, status }).toEqual({ source: `${store.url}/${folder}`, status: 'READY' });
      expect(await keysBelow(`${folder}/`)).toEqual(expect.arrayContaining(['manifest.json', ...manifest.files.map(({ path }) => path)].map((path) => `${folder}/${path}`)));
      const { run: { info, data } } = await ask('runs/get', { run_id: runId }) as Run;
      expect(info).toMatchObject({ status: 'FINISHED', run_name: `${LOOP_MODEL}-${version}` });
      expect(asRecord(data.params)).toMatchObject({ strategy: manifest.strategy, version, dataset_sha256: training.dataset_sha256, rows: String(training.rows), seed: String(training.seed) });
      const metrics = Object.entries(training.metrics).filter(([, value]) => Number.isFinite(value)).map(([key, value]) => [key.replaceAll(/[^\w./ -]/g, '_'), value]);
      expect(asRecord(data.metrics)).toEqual(Object.fromEntries(metrics));
      if (version !== 'v1') expect(metrics.length).toBeGreaterThan(3);
      // The manifest is an artifact of the run: asked of MLflow, and lying in MinIO.
      const path = `${new URL(info.artifact_uri).pathname.replace(/^\/+/, '')}/manifest.json`;
      const kept = await fetch(`${mlflow.url}/api/2.0/mlflow-artifacts/artifacts/${path}`);
      expect(Buffer.from(await kept.arrayBuffer()).equals(bytes)).toBe(true);
      expect(await keysBelow('mlflow/')).toContain(`mlflow/${path}`);
    }
    const { dataset_sha256: good } = learned.get('v2')?.manifest.training ?? {};
    expect(learned.get('v3')?.manifest.training.dataset_sha256).not.toBe(good);
  };
  const moments: LoopMoment[] = [];
  await closeTheLoop({
    env: { OBJECT_STORE_URL: store.url, S3_ENDPOINT: minio.endpoint, ...keys }, store, mlflowUrl: mlflow.url,
    look: async (moment, learned) => {
      await look(moment, learned);
      moments.push(moment);
    },
  });
  expect(moments).toEqual(['promoted', 'rolled back']);

  // No word of a prompt has reached MLflow.
  const tables = await postgres.sql("select table_name from information_schema.tables where table_schema = 'public'");
  expect(tables.map(([name]) => name)).toEqual(expect.arrayContaining(['params', 'model_version_tags']));
  for (const [name = ''] of tables) expect(await postgres.sql(`select count(*) from public."${name}" as written where written::text like '%${CANARY}%'`), name).toEqual([['0']]);
  store.close();
}, 570_000);
