import { resolve } from 'node:path';
import { readSettings, setting, telemetryVariables } from '@pointsman/service';
import type { Secret } from '@pointsman/telemetry';
import { z } from 'zod';

const environmentSchema = z.object({
  ...telemetryVariables,
  TRAIN_STRATEGY: setting.text().default('llmrouter-hybrid'),
  TRAIN_DATA: setting.list(),
  TRAIN_OUT: setting.text(),
  TRAIN_NAME: setting.text().default('router'),
  TRAIN_VERSION: setting.text().default('v1'),
  TRAIN_SEED: setting.integer({ min: 0, max: 2 ** 31 - 1 }).default(1),
  TRAIN_LIMIT: setting.integer({ min: 10 }).optional(),
  TRAIN_EMBEDDER: setting.oneOf(['none', 'static', 'minilm']).default('static'),
  MINILM_DIR: setting.text().optional(),
  MODEL_SIGNING_KEY: setting.secret().optional(),
});

/** Everything a training Job takes from its environment. */
export interface TrainerSettings {
  readonly telemetry: z.output<typeof environmentSchema>;
  readonly strategy: string;
  readonly dataFiles: readonly string[];
  readonly outDirectory: string;
  readonly name: string;
  readonly version: string;
  readonly seed: number;
  readonly limit: number | undefined;
  readonly embedder: 'none' | 'static' | 'minilm';
  readonly minilmDirectory: string | undefined;
  /** PEM of the Ed25519 private key; unsigned without it. */
  readonly signKey: Secret | undefined;
}

/** Reads the settings. @throws SettingsError with every problem found, never with a value. */
export function readTrainerSettings(env: Readonly<Record<string, string | undefined>>): TrainerSettings {
  const read = readSettings(environmentSchema, env);
  return {
    telemetry: read, strategy: read.TRAIN_STRATEGY, dataFiles: read.TRAIN_DATA.map((file) => resolve(file)), outDirectory: resolve(read.TRAIN_OUT), name: read.TRAIN_NAME, version: read.TRAIN_VERSION,
    seed: read.TRAIN_SEED, limit: read.TRAIN_LIMIT, embedder: read.TRAIN_EMBEDDER, minilmDirectory: read.MINILM_DIR, signKey: read.MODEL_SIGNING_KEY,
  };
}
