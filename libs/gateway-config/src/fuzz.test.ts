import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ConfigRejectedError, describeProblem } from './config-rejected-error.ts';
import { parseGatewayConfig } from './parse-gateway-config.ts';
import { parseDegradedMode } from './degraded-mode.ts';

const directory = new URL('./__fixtures__/litellm/', import.meta.url);
const TEXTS = readdirSync(directory).map((file) => readFileSync(new URL(file, directory), 'utf8'));
const PROVIDERS = new Set(['openai', 'azure', 'anthropic', 'bedrock', 'vertex_ai']);
const FRAGMENTS = ['{', '}', '[', ']', ': ', '- ', '\n', '\t', '"', "'", '&a ', '*a', '<<: ', '!!js/function ', '!x ', '__proto__: ', 'constructor: ', '? ', '|\n', '>-\n', '%YAML 1.2\n', '---\n', '~', 'null', 'true', '1e999', '-0', '.nan', '0x', '\u0000', '\ud800', '😀', 'os.environ/', 'os.environ/HOME', '*', '@', '`', '\\', '#'];

/** mulberry32: small, and the same everywhere for a seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function mutate(text: string, next: () => number): string {
  const at = Math.floor(next() * text.length);
  const length = Math.floor(next() * 12);
  const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(next() * items.length)];
  const lines = text.split('\n');
  const line = Math.floor(next() * lines.length);
  switch (Math.floor(next() * 6)) {
    case 0: return text.slice(0, at) + text.slice(at + length);
    case 1: return text.slice(0, at) + (pick(FRAGMENTS) ?? '') + text.slice(at);
    case 2: return text.slice(0, at) + (pick(TEXTS) ?? '').slice(at, at + length * 8) + text.slice(at);
    case 3: return lines.toSpliced(line, 1).join('\n');
    case 4: return lines.toSpliced(line, 0, ...lines.slice(line, line + length)).join('\n');
    default: return text.replace(/: ([^\n{[]+)/g, (whole) => (next() < 0.1 ? `: ${pick(FRAGMENTS) ?? ''}` : whole));
  }
}

test('whatever an operator types, the answer is a configuration or a list of problems', () => {
  const outcomes = { accepted: 0, refused: 0 };
  for (let seed = 1; seed <= 600; seed += 1) {
    const next = random(seed);
    let text = TEXTS[Math.floor(next() * TEXTS.length)] ?? '';
    for (let count = Math.ceil(next() * 4); count > 0; count -= 1) text = mutate(text, next);
    try {
      const { config, warnings } = parseGatewayConfig({ files: text, env: { HOME: '/root', LITELLM_MASTER_KEY: 'sk-long-enough' }, providerIds: PROVIDERS });
      expect(config.revision).toMatch(/^[0-9a-f]{12}$/);
      expect(warnings.map(describeProblem).join()).not.toContain('undefined');
      outcomes.accepted += 1;
    } catch (error) {
      if (!(error instanceof ConfigRejectedError)) throw new Error(`seed ${String(seed)} broke the parser:\n${text}`, { cause: error });
      expect(error.problems.length).toBeGreaterThan(0);
      outcomes.refused += 1;
    }
    try {
      parseDegradedMode(text);
    } catch (error) {
      if (!(error instanceof ConfigRejectedError)) throw new Error(`seed ${String(seed)} broke the degraded mode:\n${text}`, { cause: error });
    }
  }
  expect(outcomes.accepted).toBeGreaterThan(30);
  expect(outcomes.refused).toBeGreaterThan(30);
  expect(Object.keys(Object.prototype)).toEqual([]);
});
