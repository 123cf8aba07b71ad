import type { ModelManifest } from '@pointsman/schemas';
import type { PromptInput } from '../features/prompt-features.ts';
import type { HeadFeatures, HeadSession } from './head-session.ts';
import { ModelRefusedError } from './model-refused-error.ts';

/** Prompts that every model must answer with numbers: nothing, no word, one symbol, a long one. A norm of zero makes NaN of a careless model. */
const EDGE_PROMPTS = ['', ' \n', '\u{1F600}', 'word '.repeat(4_000)];

export interface CheckGoldenParts {
  readonly manifest: Pick<ModelManifest, 'candidates' | 'golden'>;
  /** Makes what the session is fed of a prompt. */
  readonly extractor: { extract(input: PromptInput): HeadFeatures | Promise<HeadFeatures> };
  readonly session: HeadSession;
}

/**
 * Asks the model what its manifest says it answers, features included, and resolves to the largest difference.
 * @throws ModelRefusedError `golden_mismatch`, `bad_output`, `manifest` for golden rows that name no candidate
 */
export async function checkGolden({ manifest, extractor, session }: CheckGoldenParts): Promise<number> {
  const columns = new Map(manifest.candidates.map((name, column) => [name, column]));
  const scores = async (prompt: string): Promise<Float32Array> => session.run(await extractor.extract(bare(prompt)));
  let worst = 0;
  for (const [row, golden] of manifest.golden.entries()) {
    const expected = Object.entries(golden.scores);
    if (expected.length === 0) throw new ModelRefusedError('manifest', `Golden row ${row} expects no score.`);
    const actual = await scores(golden.prompt);
    for (const [name, score] of expected) {
      const column = columns.get(name);
      if (column === undefined) throw new ModelRefusedError('manifest', `Golden row ${row} names ${JSON.stringify(name.slice(0, 80))}, which is no candidate.`);
      const difference = Math.abs((actual[column] ?? NaN) - score);
      if (!(difference <= golden.tolerance)) {
        throw new ModelRefusedError('golden_mismatch', `Golden row ${row}: ${name.slice(0, 80)} scores ${(actual[column] ?? NaN).toPrecision(6)} instead of ${score.toPrecision(6)}; ${golden.tolerance} is tolerated.`);
      }
      worst = Math.max(worst, difference);
    }
  }
  for (const prompt of EDGE_PROMPTS) await scores(prompt);
  return worst;
}

function bare(text: string): PromptInput {
  return { text, system: '', turns: 1, images: 0, tools: 0, wantsJson: false };
}
