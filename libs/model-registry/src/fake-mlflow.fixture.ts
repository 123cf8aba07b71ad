import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeMlflow extends AsyncDisposable {
  readonly url: string;
  /** What clients sent as `authorization`. */
  readonly authorizations: (string | undefined)[];
  readonly artifacts: ReadonlyMap<string, string>;
  /** Where runs keep their artifacts. */
  artifactRoot: string;
  /** Answers instead of the server. */
  instead: ((req: IncomingMessage, res: ServerResponse) => void) | undefined;
}

interface Version { name: string; version: string; creation_timestamp: number; run_id: string; source: string; tags: { key: string; value: string }[] }
type Fields = Readonly<Record<string, unknown>>;
class Refused extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The part of MLflow's tracking server that the registry uses, with its statuses, error codes and limits as documented (REST API 2.0). */
export async function startFakeMlflow(): Promise<FakeMlflow> {
  const experiments = new Map<string, string>();
  const runs = new Map<string, { uri: string; params: Map<string, string> }>();
  const models = new Map<string, { aliases: Map<string, string>; versions: Version[]; last: number }>();
  const artifacts = new Map<string, string>();
  const text = (fields: Fields, name: string): string => {
    const value = fields[name];
    if (typeof value !== 'string' || value === '') throw new Refused(400, 'INVALID_PARAMETER_VALUE', `Missing value for required parameter '${name}'.`);
    return value;
  };
  const run = (fields: Fields): { uri: string; params: Map<string, string> } => {
    const found = runs.get(text(fields, 'run_id'));
    if (found === undefined) throw new Refused(404, 'RESOURCE_DOES_NOT_EXIST', 'Run not found');
    return found;
  };
  const model = (fields: Fields): { aliases: Map<string, string>; versions: Version[]; last: number } => {
    const found = models.get(text(fields, 'name'));
    if (found === undefined) throw new Refused(404, 'RESOURCE_DOES_NOT_EXIST', 'Registered Model not found');
    return found;
  };
  const version = (fields: Fields): Version => {
    const found = model(fields).versions.find((each) => each.version === fields['version']);
    if (found === undefined) throw new Refused(404, 'RESOURCE_DOES_NOT_EXIST', 'Model Version not found');
    return found;
  };
  const calls: Readonly<Record<string, (fields: Fields) => unknown>> = {
    'GET experiments/get-by-name': (fields) => {
      const id = experiments.get(text(fields, 'experiment_name'));
      if (id === undefined) throw new Refused(404, 'RESOURCE_DOES_NOT_EXIST', 'Could not find experiment');
      return { experiment: { experiment_id: id, name: fields['experiment_name'], lifecycle_stage: 'active' } };
    },
    'POST experiments/create': (fields) => {
      const name = text(fields, 'name');
      if (experiments.has(name)) throw new Refused(400, 'RESOURCE_ALREADY_EXISTS', `Experiment(name=${name}) already exists.`);
      experiments.set(name, String(experiments.size + 1));
      return { experiment_id: experiments.get(name) };
    },
    'POST runs/create': (fields) => {
      const id = randomBytes(16).toString('hex');
      runs.set(id, { uri: `${fake.artifactRoot}/${text(fields, 'experiment_id')}/${id}/artifacts`, params: new Map() });
      return { run: { info: { run_id: id, artifact_uri: runs.get(id)?.uri, status: 'RUNNING' }, data: {} } };
    },
    'GET runs/get': (fields) => ({ run: { info: { run_id: fields['run_id'], artifact_uri: run(fields).uri } } }),
    'POST runs/update': (fields) => run(fields) && {},
    'POST runs/log-batch': (fields) => {
      const { params: known } = run(fields);
      const [params, metrics] = [fields['params'], fields['metrics']] as [{ key: string; value: string }[], { key: string; value: unknown }[]];
      if (params.length > 100 || params.length + metrics.length > 1_000) throw new Refused(400, 'INVALID_PARAMETER_VALUE', 'A batch logging request can contain at most 100 params.');
      if (metrics.some(({ value }) => typeof value !== 'number')) throw new Refused(400, 'INVALID_PARAMETER_VALUE', 'Got invalid value for metric');
      for (const { key, value } of params) {
        if (known.has(key) && known.get(key) !== value) throw new Refused(400, 'INVALID_PARAMETER_VALUE', `Changing param values is not allowed: ${key}`);
        known.set(key, value);
      }
      return {};
    },
    'POST registered-models/create': (fields) => {
      const name = text(fields, 'name');
      if (models.has(name)) throw new Refused(400, 'RESOURCE_ALREADY_EXISTS', `Registered Model (name=${name}) already exists.`);
      models.set(name, { aliases: new Map(), versions: [], last: 0 });
      return { registered_model: { name } };
    },
    'GET registered-models/get': (fields) => ({ registered_model: { name: fields['name'], aliases: [...model(fields).aliases].map(([alias, number]) => ({ alias, version: number })) } }),
    'POST registered-models/alias': (fields) => {
      model(fields).aliases.set(text(fields, 'alias'), version(fields).version);
      return {};
    },
    'DELETE registered-models/alias': (fields) => {
      model(fields).aliases.delete(text(fields, 'alias'));
      return {};
    },
    'POST model-versions/create': (fields) => {
      const of = model(fields);
      if (!/^(s3|mlflow-artifacts):/.test(text(fields, 'source'))) throw new Refused(400, 'INVALID_PARAMETER_VALUE', 'Invalid model version source');
      of.last += 1;
      const made = { name: text(fields, 'name'), version: String(of.last), creation_timestamp: Date.now(), run_id: text(fields, 'run_id'), source: text(fields, 'source'), tags: fields['tags'] as Version['tags'] };
      of.versions.push(made);
      return { model_version: made };
    },
    'GET model-versions/search': (fields) => {
      const name = /^name='([^']*)'$/.exec(text(fields, 'filter'))?.[1];
      if (name === undefined) throw new Refused(400, 'INVALID_PARAMETER_VALUE', 'Invalid filter string');
      // Pages of two: whoever reads only the first loses some. Newest first, as the server answers.
      const all = (models.get(name)?.versions ?? []).toReversed();
      const at = Number(fields['page_token'] ?? '0');
      return all.length === 0 ? {} : { model_versions: all.slice(at, at + 2), ...(at + 2 < all.length ? { next_page_token: String(at + 2) } : {}) };
    },
    'DELETE model-versions/delete': (fields) => {
      const gone = version(fields);
      const of = model(fields);
      of.versions.splice(of.versions.indexOf(gone), 1);
      return {};
    },
    'POST model-versions/set-tag': (fields) => {
      const of = version(fields);
      of.tags = [...of.tags.filter(({ key }) => key !== fields['key']), { key: text(fields, 'key'), value: text(fields, 'value') }];
      return {};
    },
  };
  const serve = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const url = new URL(req.url ?? '/', 'http://localhost');
    fake.authorizations.push(req.headers.authorization);
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    if (fake.instead !== undefined) {
      fake.instead(req, res);
      return;
    }
    const artifact = /^\/api\/2\.0\/mlflow-artifacts\/artifacts\/(.+)$/.exec(url.pathname)?.[1];
    if (artifact !== undefined && req.method === 'PUT') {
      artifacts.set(decodeURIComponent(artifact), body);
      res.end('{}');
      return;
    }
    try {
      const call = calls[`${req.method ?? ''} ${url.pathname.replace('/api/2.0/mlflow/', '')}`];
      if (call === undefined) throw new Refused(404, 'ENDPOINT_NOT_FOUND', 'No such endpoint');
      res.end(JSON.stringify(call(req.method === 'GET' ? Object.fromEntries(url.searchParams) : JSON.parse(body) as Fields)));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      res.writeHead(error.status, { 'content-type': 'application/json' }).end(JSON.stringify({ error_code: error.code, message: error.message }));
    }
  };
  const server = createServer((req, res) => void serve(req, res).catch((error: unknown) => res.destroy(error as Error)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const fake: FakeMlflow = {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`, authorizations: [], artifacts, artifactRoot: 'mlflow-artifacts:', instead: undefined,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return fake;
}
