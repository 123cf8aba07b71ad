import { gzipSync } from 'node:zlib';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFeatureExtractor, seededRandom } from '@pointsman/routing';
import { toFloat16Bits } from './dataset/float16.ts';
import { barePrompt } from './features/extract-features.ts';

/** Four models whose quality by kind of prompt nobody but the world knows. Costs in USD per request. */
export const WORLD = {
  models: ['coder', 'cheap', 'large', 'talker'],
  cost: [0.002, 0.0005, 0.01, 0.001],
  kinds: {
    code: { words: ['function', 'python', 'compile', 'array', 'loop'], quality: [0.9, 0.3, 0.85, 0.2] },
    maths: { words: ['integral', 'theorem', 'derivative', 'proof', 'matrix'], quality: [0.4, 0.2, 0.9, 0.15] },
    chat: { words: ['hello', 'weekend', 'friend', 'holiday', 'story'], quality: [0.5, 0.75, 0.8, 0.9] },
    facts: { words: ['capital', 'river', 'president', 'year', 'country'], quality: [0.55, 0.85, 0.9, 0.6] },
  },
} as const;

export type PromptKind = keyof typeof WORLD.kinds;
const KINDS = Object.keys(WORLD.kinds) as PromptKind[];
const FILLER = ['tell', 'me', 'about', 'the', 'please', 'now', 'with', 'and'];

/** Probabilities of the models for a kind of prompt. */
export type LoggingPolicy = (kind: PromptKind) => readonly number[];

export const uniformLogging: LoggingPolicy = () => [0.25, 0.25, 0.25, 0.25];
/** Mostly one model, a little of the others. */
export function mostly(model: number, exploration: number): LoggingPolicy {
  return () => WORLD.models.map((_, index) => (index === model ? 1 - exploration : 0) + exploration / WORLD.models.length);
}

export interface WorldOptions {
  readonly rows: number;
  readonly seed: number;
  readonly policy?: LoggingPolicy;
  readonly from?: Date;
  readonly stepMs?: number;
  readonly embedder?: 'none' | 'static';
  /** Added to every row. */
  readonly change?: (index: number) => object;
  /** Share of requests that get feedback. */
  readonly feedback?: number;
}

/** Trace rows as the exporter writes them, one request every `stepMs`. Feedback is 0 or 1 with the quality as its chance. */
export async function worldRows({ rows, seed, policy = uniformLogging, from = new Date('2026-01-05T00:00:00Z'), stepMs = 60_000, embedder = 'none', change = () => ({}), feedback = 1 }: WorldOptions): Promise<Record<string, unknown>[]> {
  const random = seededRandom(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const extractor = await createFeatureExtractor({ embedder });
  const made: Record<string, unknown>[] = [];
  try {
    for (let index = 0; index < rows; index += 1) {
      const kind = pick(KINDS);
      const { words, quality } = WORLD.kinds[kind];
      const prompt = promptOf(kind, Array.from({ length: 5 }, () => pick(words)), Array.from({ length: 4 }, () => pick(FILLER)));
      const chances = policy(kind);
      let draw = random();
      let model = 0;
      while (model < chances.length - 1 && draw >= chances[model]!) draw -= chances[model++]!;
      const { text, embedding } = await extractor.extract(barePrompt(prompt));
      const good = random() < quality[model]! ? 1 : 0;
      const isJudged = random() < feedback;
      made.push({
        schema_version: 1, kind: 'request', request_id: `r${String(seed)}-${String(index)}`, trace_id: '0af7651916cd43dd8448eb211c80319c', at: new Date(from.getTime() + index * stepMs).toISOString(),
        embedder: { ...extractor.embedder }, embedding: Buffer.from(toFloat16Bits(embedding).buffer).toString('base64'), features: [...text], strategy: 'llmrouter-hybrid', model_version: 'v1',
        candidates: [...WORLD.models], scores: WORLD.models.map(() => 0.5), propensity: chances[model], selected_model: WORLD.models[model],
        outcome: { status: 200, latency_ms: 100, prompt_tokens: 10, completion_tokens: 20, cost_usd: WORLD.cost[model], served_model: WORLD.models[model], attempts: 1, ...(isJudged ? { feedback_score: good } : {}) },
        ...change(index),
      });
    }
  } finally {
    await extractor.close();
  }
  return made;
}

/** Each kind has its own shape too, so that text features alone tell them apart. */
function promptOf(kind: PromptKind, words: readonly string[], filler: readonly string[]): string {
  const inner = [...words, ...filler].join(' ');
  switch (kind) {
    case 'code': return `Write code:\n\`\`\`python\ndef ${words[0] ?? 'f'}(x):\n    return x[0] + ${words[1] ?? 'y'}\n\`\`\`\n${inner}`;
    case 'maths': return `Compute 3*x^2 + 4*x - 7 = 0 and prove that ${inner} = 12.5`;
    case 'chat': return `hi! ${inner} :)`;
    case 'facts': return `What is the ${inner}? Which one was first?`;
  }
}

/** True mean quality and cost of choosing a model by kind; kinds are equally frequent. */
export function trueValue(choose: (kind: PromptKind) => number): { readonly quality: number; readonly cost: number } {
  const mean = (value: (kind: PromptKind) => number): number => KINDS.reduce((sum, kind) => sum + value(kind), 0) / KINDS.length;
  return { quality: mean((kind) => WORLD.kinds[kind].quality[choose(kind)]!), cost: mean((kind) => WORLD.cost[choose(kind)]!) };
}

/** Writes rows as objects of `rowsPerObject` under `traces/{day}/` of a folder, which a `file://` store of that folder then holds. Returns their keys. */
export async function writeTraces(folder: string, rows: readonly Record<string, unknown>[], { rowsPerObject = 500, pod = 'pod-0' }: { readonly rowsPerObject?: number; readonly pod?: string } = {}): Promise<string[]> {
  const keys: string[] = [];
  for (let start = 0; start < rows.length; start += rowsPerObject) {
    const part = rows.slice(start, start + rowsPerObject);
    const day = String(part[0]!['at']).slice(0, 10);
    const key = `traces/${day}/${pod}-${String(start)}.jsonl.gz`;
    await mkdir(join(folder, 'traces', day), { recursive: true });
    await writeFile(join(folder, key), gzipSync(part.map((row) => `${JSON.stringify(row)}\n`).join('')));
    keys.push(key);
  }
  return keys;
}
