import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { z } from 'zod';
import type { OutcomeRow } from '../dataset/outcome-row.ts';
import { readOutcomes } from '../dataset/read-outcomes.ts';

/** One set of questions with real outcomes, all splits that may be used for choosing: never one called test. */
export interface RoutingData {
  readonly name: string;
  readonly rows: readonly OutcomeRow[];
  /** Price per model in any one unit; models of unknown price are missing. */
  readonly prices: ReadonlyMap<string, number>;
}

const pricesSchema = z.object({ models: z.record(z.string(), z.object({ price: z.number().min(0) })) });

/** Reads `{name}_train.jsonl.gz` with `{name}_validation.jsonl.gz` (and `{name}_models.json` with prices) of a folder. Throws an AppError when there is none. */
export async function readRoutingData(directory: string, signal?: AbortSignal): Promise<RoutingData[]> {
  const files = await readdir(directory).catch((error: unknown) => {
    throw new AppError('invalid_request', 'no_routing_data', `${directory} cannot be read.`, { cause: error });
  });
  const names = files.flatMap((file) => /^([a-z0-9-]+)_train\.jsonl(?:\.gz)?$/.exec(file)?.[1] ?? []).sort();
  if (names.length === 0) throw new AppError('invalid_request', 'no_routing_data', `${directory} holds no {name}_train.jsonl.gz.`);
  const data: RoutingData[] = [];
  for (const name of names) {
    const parts = files.filter((file) => file.startsWith(`${name}_train.`) || file.startsWith(`${name}_validation.`)).sort().map((file) => join(directory, file));
    const prices = files.includes(`${name}_models.json`) ? pricesSchema.parse(JSON.parse(await readFile(join(directory, `${name}_models.json`), 'utf8'))).models : {};
    data.push({ name, rows: await readOutcomes(parts, { signal }), prices: new Map(Object.entries(prices).map(([model, { price }]) => [model, price])) });
  }
  return data;
}
