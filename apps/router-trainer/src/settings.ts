import { resolve } from 'node:path';
import { parseObjectStoreUrl } from '@pointsman/object-store';
import { parseWindow, type TraceWindow } from '@pointsman/router-training';
import { modelNameSchema, modelVersionSchema } from '@pointsman/schemas';
import { readSettings, setting, SettingsError, telemetryVariables, type SettingsProblem } from '@pointsman/service';
import type { Secret } from '@pointsman/telemetry';
import { z } from 'zod';

const environmentSchema = z.object({
  ...telemetryVariables,
  TRAIN_STRATEGY: setting.text().default('llmrouter-hybrid'),
  TRAIN_DATA: setting.list().optional(),
  TRAIN_OUT: setting.text().optional(),
  TRAIN_NAME: setting.text().default('router'),
  TRAIN_VERSION: setting.text().default('v1'),
  TRAIN_SEED: setting.integer({ min: 0, max: 2 ** 31 - 1 }).default(1),
  TRAIN_LIMIT: setting.integer({ min: 10 }).optional(),
  TRAIN_EMBEDDER: setting.oneOf(['none', 'static', 'minilm']).default('static'),
  TRAIN_WINDOW: setting.text().optional(),
  TRAIN_FROM: setting.text().optional(),
  TRAIN_TO: setting.text().optional(),
  TRAIN_IMPLICIT: setting.oneOf(['failures', 'outcomes']).default('failures'),
  TRAIN_TRADEOFF: setting.decimal({ min: 0, max: 1 }).default(0.5),
  TRAIN_SERVING: setting.text().optional(),
  TRACES_BUCKET_URL: setting.text().optional(),
  OBJECT_STORE_URL: setting.text().optional(),
  MODELS_BUCKET_URL: setting.text().optional(),
  S3_BUCKET: setting.text().optional(),
  S3_ENDPOINT: setting.url().optional(),
  MINILM_DIR: setting.text().optional(),
  MODEL_SIGNING_KEY: setting.secret().optional(),
});

/** Rows of traces instead of files. */
export interface WindowSettings {
  readonly window: TraceWindow;
  readonly implicit: 'failures' | 'outcomes';
  readonly tracesUrl: string;
  /** Where `models/{name}-{version}/` is written. */
  readonly modelsUrl: string;
  readonly storeEndpoint: string | undefined;
  readonly tradeoff: number;
  /** Directory of the artifact that serves. */
  readonly serving: string | undefined;
}

/** Everything a training Job takes from its environment. */
export interface TrainerSettings {
  readonly telemetry: z.output<typeof environmentSchema>;
  readonly strategy: string;
  /** Undefined: rows come from traces. */
  readonly dataFiles: readonly string[] | undefined;
  /** Undefined: in a folder that is gone when the artifact is in the store. */
  readonly outDirectory: string | undefined;
  readonly name: string;
  /** `v42`, or `next`: one more than the highest in the store. */
  readonly version: string;
  readonly seed: number;
  readonly limit: number | undefined;
  readonly embedder: 'none' | 'static' | 'minilm';
  readonly minilmDirectory: string | undefined;
  /** PEM of the Ed25519 private key; unsigned without it. */
  readonly signKey: Secret | undefined;
  readonly traces: WindowSettings | undefined;
}

/** Reads the settings. @throws SettingsError with every problem found, never with a value. */
export function readTrainerSettings(env: Readonly<Record<string, string | undefined>>, now: number): TrainerSettings {
  const given = (name: string): string | undefined => (env[name]?.trim() === '' ? undefined : env[name]?.trim());
  const problems = problemsBetweenVariables(given, now);
  let read: z.output<typeof environmentSchema>;
  try {
    read = readSettings(environmentSchema, env);
  } catch (error) {
    if (error instanceof SettingsError) throw new SettingsError([...error.problems, ...problems]);
    throw error;
  }
  if (problems.length > 0) throw new SettingsError(problems);
  const store = read.OBJECT_STORE_URL ?? `s3://${read.S3_BUCKET ?? ''}`;
  return {
    telemetry: read, strategy: read.TRAIN_STRATEGY, dataFiles: read.TRAIN_DATA?.map((file) => resolve(file)), outDirectory: read.TRAIN_OUT === undefined ? undefined : resolve(read.TRAIN_OUT), name: read.TRAIN_NAME,
    version: read.TRAIN_VERSION, seed: read.TRAIN_SEED, limit: read.TRAIN_LIMIT, embedder: read.TRAIN_EMBEDDER, minilmDirectory: read.MINILM_DIR, signKey: read.MODEL_SIGNING_KEY,
    traces: read.TRAIN_DATA !== undefined ? undefined : {
      window: parseWindow({ from: read.TRAIN_FROM, to: read.TRAIN_TO, window: read.TRAIN_WINDOW }, now), implicit: read.TRAIN_IMPLICIT, tracesUrl: read.TRACES_BUCKET_URL ?? store, modelsUrl: read.MODELS_BUCKET_URL ?? store,
      storeEndpoint: read.S3_ENDPOINT, tradeoff: read.TRAIN_TRADEOFF, serving: read.TRAIN_SERVING === undefined ? undefined : resolve(read.TRAIN_SERVING),
    },
  };
}

function problemsBetweenVariables(given: (name: string) => string | undefined, now: number): SettingsProblem[] {
  const problems: SettingsProblem[] = [];
  const check = (variable: string, work: () => void): void => {
    try {
      work();
    } catch (error) {
      // What these say holds nothing of what they were given.
      problems.push({ variable, problem: error instanceof Error ? error.message : 'cannot be read' });
    }
  };
  const isFromFiles = given('TRAIN_DATA') !== undefined;
  for (const variable of ['TRACES_BUCKET_URL', 'OBJECT_STORE_URL', 'MODELS_BUCKET_URL']) {
    const url = given(variable);
    if (url !== undefined) check(variable, () => void parseObjectStoreUrl(url));
  }
  const name = modelNameSchema.safeParse(given('TRAIN_NAME') ?? 'router').error?.issues[0]?.message;
  if (name !== undefined) problems.push({ variable: 'TRAIN_NAME', problem: name });
  const version = given('TRAIN_VERSION') ?? 'v1';
  const wrong = version === 'next' && !isFromFiles ? undefined : modelVersionSchema.safeParse(version).error?.issues[0]?.message;
  if (wrong !== undefined) problems.push({ variable: 'TRAIN_VERSION', problem: wrong });
  if (isFromFiles) {
    if (given('TRAIN_OUT') === undefined) problems.push({ variable: 'TRAIN_OUT', problem: 'is required with TRAIN_DATA' });
    return problems;
  }
  if (['OBJECT_STORE_URL', 'S3_BUCKET'].every((variable) => given(variable) === undefined) && (given('TRACES_BUCKET_URL') === undefined || given('MODELS_BUCKET_URL') === undefined)) {
    problems.push({ variable: 'TRAIN_DATA', problem: 'is required (files), or OBJECT_STORE_URL or S3_BUCKET (traces)' });
  }
  check('TRAIN_WINDOW', () => void parseWindow({ from: given('TRAIN_FROM'), to: given('TRAIN_TO'), window: given('TRAIN_WINDOW') }, now));
  return problems;
}
