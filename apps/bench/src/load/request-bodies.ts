import type { Scenario } from '../scenarios.ts';

const subjects = ['The operator', 'A careful reader', 'The second replica', 'Our customer', 'The finance team', 'An old invoice', 'The night shift', 'Every contract'];
const verbs = ['explains', 'questions', 'remembers', 'compares', 'summarises', 'describes', 'rejects', 'repeats'];
const objects = ['the quarterly figures', 'a delayed shipment', 'the clause about liability', "the caller's complaint", 'three possible causes', 'the weather in Lisbon', 'a “simple” question', 'the previous decision'];
const endings = ['before the meeting starts', 'without naming a source', 'in plain English', 'and asks for a second opinion', 'because nobody else did', 'although 42 of 97 replies differ', 'as agreed in March', 'for the second time this week'];
const bodiesPerScenario = 8;

/** Seven digits that `withSeed` replaces, so that no two requests are the same to a cache. */
const FIRST_SEED = 1_000_000;
const SEED_FIELD = Buffer.from(`"seed":${String(FIRST_SEED)}`);
const SEEDS = 9_000_000;

/** A copy of a request whose body has a seed of its own: the n-th of 9 million. */
export function withSeed(request: Buffer, n: number): Buffer {
  const copy = Buffer.from(request);
  const at = copy.lastIndexOf(SEED_FIELD);
  copy.write(String(FIRST_SEED + (n % SEEDS)), at + SEED_FIELD.length - 7, 'latin1');
  return copy;
}

/**
 * Request bodies of a scenario: OpenAI chat requests in English-like text with line breaks, quotes and a few characters outside ASCII,
 * since escapes are what a JSON parser spends its time on. Several, the same in every run.
 */
export function requestBodies(scenario: Scenario, model: string): readonly Buffer[] {
  return Array.from({ length: bodiesPerScenario }, (_, variant) =>
    Buffer.from(
      JSON.stringify({
        model,
        messages: [
          { role: 'system', content: 'You are a helpful assistant. Answer briefly, and say so when you do not know.' },
          { role: 'user', content: englishLikeText(scenario.promptCharacters, variant) },
        ],
        temperature: 0.7,
        max_tokens: 256,
        seed: FIRST_SEED,
        ...(scenario.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
      }),
    ),
  );
}

function englishLikeText(characters: number, variant: number): string {
  // A linear congruential generator (Numerical Recipes): the text must be the same in every run, not random.
  let state = 7919 * (variant + 1);
  const pick = (from: readonly string[]): string => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return from[(state >>> 16) % from.length] ?? '';
  };
  let text = '';
  for (let sentence = 1; text.length < characters; sentence += 1) {
    text += `${pick(subjects)} ${pick(verbs)} ${pick(objects)} ${pick(endings)}.${sentence % 5 === 0 ? '\n\n' : ' '}`;
  }
  return text.slice(0, characters);
}
