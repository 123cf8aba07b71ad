import { describeUnknown } from '@pointsman/errors';
import { z } from 'zod';
import { ModelRegistryError, type AskOptions } from './model-registry.ts';

export interface MlflowSettings {
  /** `MLFLOW_TRACKING_URI`: http(s)://host:port. */
  readonly url: string;
  /** `MLFLOW_TRACKING_TOKEN`, else `MLFLOW_TRACKING_USERNAME` and `_PASSWORD`. */
  readonly token?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Longest time for one request, in milliseconds. Default 15,000. */
  readonly timeoutMs?: number;
}

/** An error of the server by its `error_code`: https://mlflow.org/docs/latest/rest-api.html */
export class MlflowError extends ModelRegistryError {
  readonly errorCode: string;

  constructor(kind: ModelRegistryError['kind'], errorCode: string, message: string) {
    super(kind, message);
    this.errorCode = errorCode;
  }
}

export interface MlflowClient {
  /** Without credentials. */
  readonly place: string;
  get<T>(path: string, query: Readonly<Record<string, string>>, schema: z.ZodType<T>, options: AskOptions): Promise<T>;
  send<T>(method: 'POST' | 'PATCH' | 'DELETE', path: string, body: unknown, schema: z.ZodType<T>, options: AskOptions): Promise<T>;
  /** Through the server's artifact proxy; the path is below its root. */
  putArtifact(path: string, body: Buffer | string, options: AskOptions): Promise<void>;
}

const API = '/api/2.0/mlflow/';
const ARTIFACTS = '/api/2.0/mlflow-artifacts/artifacts/';
const MAX_REPLY_BYTES = 16 * 1024 * 1024;
const ARTIFACT_TIMEOUT_MS = 120_000;
const errorSchema = z.object({ error_code: z.string(), message: z.string().default('') });
export const nothing = z.unknown();

/** MLflow's REST API 2.0 over plain fetch: deadline, bounded replies, redirects refused (they would carry the credentials elsewhere). @throws ModelRegistryError */
export function createMlflowClient({ url, token, username, password, timeoutMs = 15_000 }: MlflowSettings): MlflowClient {
  const base = URL.parse(url);
  if (base === null || !/^https?:$/.test(base.protocol)) throw new ModelRegistryError('refused', 'MLFLOW_TRACKING_URI expects http://host:port or https://host:port');
  const [user, pass] = [username ?? decodeURIComponent(base.username), password ?? decodeURIComponent(base.password)];
  base.username = '';
  base.password = '';
  const root = base.href.replace(/[/?#]+$/, '');
  const authorization = token !== undefined && token !== '' ? `Bearer ${token}` : user === '' ? undefined : `Basic ${Buffer.from(`${user}:${pass}`).toString('base64')}`;

  const ask = async (method: string, address: string, { body, contentType, limitMs, signal }: { readonly body?: Buffer | string; readonly contentType?: string; readonly limitMs: number; readonly signal: AbortSignal | undefined }): Promise<unknown> => {
    const deadline = AbortSignal.timeout(limitMs);
    const either = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    let status: number;
    let text: string;
    try {
      const reply = await fetch(`${root}${address}`, {
        method, signal: either, redirect: 'error', ...(body === undefined ? {} : { body: typeof body === 'string' ? body : new Uint8Array(body) }),
        headers: { accept: 'application/json', ...(contentType === undefined ? {} : { 'content-type': contentType }), ...(authorization === undefined ? {} : { authorization }) },
      });
      status = reply.status;
      text = await boundedText(reply);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ModelRegistryError) throw error;
      if (deadline.aborted) throw new ModelRegistryError('timeout', `MLflow at ${root} did not answer within ${String(limitMs / 1000)} s`);
      throw new ModelRegistryError('unavailable', `MLflow at ${root} cannot be reached (${describeUnknown(error instanceof Error && error.cause !== undefined ? error.cause : error)})`, { cause: error });
    }
    const value = parseJson(text);
    if (status >= 200 && status < 300) {
      if (text.trim() !== '' && value === undefined) throw new ModelRegistryError('unavailable', `what is at ${root} is no MLflow: its answer is no JSON`);
      return value ?? {};
    }
    const { error_code: code, message } = errorSchema.safeParse(value).data ?? { error_code: `HTTP_${String(status)}`, message: '' };
    throw new MlflowError(kindOf(status, code), code, `MLflow answers ${code}${message === '' ? '' : `: ${message.slice(0, 500)}`}`);
  };
  const checked = <T>(value: unknown, schema: z.ZodType<T>, path: string): T => {
    const parsed = schema.safeParse(value);
    if (!parsed.success) throw new ModelRegistryError('unavailable', `MLflow's answer to ${path} is not as its REST API is documented`);
    return parsed.data;
  };

  return {
    place: root,
    get: async (path, query, schema, { signal }) => checked(await ask('GET', `${API}${path}?${new URLSearchParams(query).toString()}`, { limitMs: timeoutMs, signal }), schema, path),
    send: async (method, path, body, schema, { signal }) => checked(await ask(method, `${API}${path}`, { body: JSON.stringify(body), contentType: 'application/json', limitMs: timeoutMs, signal }), schema, path),
    putArtifact: async (path, body, { signal }) => {
      const address = path.split('/').map(encodeURIComponent).join('/');
      await ask('PUT', `${ARTIFACTS}${address}`, { body, contentType: 'application/octet-stream', limitMs: ARTIFACT_TIMEOUT_MS, signal });
    },
  };
}

function kindOf(status: number, code: string): ModelRegistryError['kind'] {
  if (status === 401 || status === 403 || code === 'PERMISSION_DENIED') return 'denied';
  if (status === 404 || code === 'RESOURCE_DOES_NOT_EXIST') return 'not_found';
  if (code === 'RESOURCE_ALREADY_EXISTS') return 'conflict';
  return status >= 500 || status === 429 ? 'unavailable' : 'refused';
}

async function boundedText(reply: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of reply.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_REPLY_BYTES) throw new ModelRegistryError('refused', `MLflow's answer is longer than ${String(MAX_REPLY_BYTES / 1024 / 1024)} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
