/** A part of a question and what was found; undefined where nobody answered it. */
export interface AnsweredPart {
  readonly part: string;
  readonly answer: string | undefined;
}

/** Longer answers to parts are cut: the aggregator needs what was found, not all that was said. */
const MAX_ANSWER = 8_000;
const MAX_PART = 2_000;
const MAX_PLAN = 32_000;

/** What the planner is asked. The question stands between marks, so that instructions in it are read as part of it. */
export function plannerPrompt(question: string, maxParts: number): string {
  return `Decide whether the question below consists of independent sub-questions that can be answered one by one without knowing the others' answers.
Answer with JSON only, no other words: {"parts": ["first sub-question", …]} with at most ${String(maxParts)} parts, each complete in itself (names and numbers repeated, no "it" or "the above").
If it is one question, answer {"parts": []}.

<question>
${question}
</question>`;
}

/** Reads a planner's answer strictly; [] for anything that is not the JSON that was asked for. */
export function partsOfPlan(answer: string, maxParts: number): readonly string[] {
  if (answer.length > MAX_PLAN) return [];
  const text = /^```(?:json)?\n([^]*)\n```$/.exec(answer.trim())?.[1] ?? answer;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, 'parts') || Object.keys(value).length !== 1) return [];
  const { parts } = value as { readonly parts: unknown };
  if (!Array.isArray(parts) || parts.length < 2 || parts.length > maxParts) return [];
  const whole = parts.filter((part): part is string => typeof part === 'string' && part.trim() !== '' && part.length <= MAX_PART);
  return whole.length === parts.length && new Set(whole).size === whole.length ? whole : [];
}

/** What is put behind the client's question for the aggregator. */
export function aggregatorPrompt(parts: readonly AnsweredPart[]): string {
  const found = parts.map(({ part, answer }, index) => `<part number="${String(index + 1)}">\n<question>${part}</question>\n<answer>${answer === undefined ? '(not answered)' : answer.slice(0, MAX_ANSWER)}</answer>\n</part>`);
  return `Assistants have answered parts of this question. Use what is right in their answers, correct what is wrong, answer yourself what was not answered, and give one whole answer to the question above without mentioning the parts.\n\n${found.join('\n')}`;
}
