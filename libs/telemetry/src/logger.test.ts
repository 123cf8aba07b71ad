import { spawn } from 'node:child_process';
import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { createLogger, type LogLevel } from './logger.ts';
import { redact, redactText } from './redact.ts';
import { Secret } from './secret.ts';

function collect(level: LogLevel = 'debug') {
  const lines: string[] = [];
  const logger = createLogger({ service: 'gateway', level, write: (line) => lines.push(line) });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown> };
}

test('a line is one JSON object with time, level as a word, service, msg and the fields', () => {
  const { logger, lines, last } = collect();
  logger.info('listening', { url: 'http://127.0.0.1:4000', note: 'two\nlines' });
  expect(lines[0]?.endsWith('\n')).toBe(true);
  expect(lines[0]?.trimEnd()).not.toContain('\n');
  expect(last()).toMatchObject({ level: 'info', service: 'gateway', msg: 'listening', url: 'http://127.0.0.1:4000', note: 'two\nlines' });
  expect(new Date(String(last()['time'])).toISOString()).toBe(last()['time']);
});

test('lines below the level are not written', () => {
  const { logger, lines } = collect('warn');
  logger.info('quiet');
  expect(logger.isEnabled('info')).toBe(false);
  expect(lines).toEqual([]);
  logger.warn('loud');
  expect(lines).toHaveLength(1);
});

test('a logger for a span carries its ids, a child its fields, a child of both carries both', () => {
  const { logger, last } = collect();
  const span = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
  logger.child({ component: 'sync' }).forSpan(span).child({ pass: 3 }).warn('failed', { outcome: 'timeout' });
  expect(last()).toMatchObject({ trace_id: span.traceId, span_id: span.spanId, component: 'sync', pass: 3, outcome: 'timeout', level: 'warn' });
});

test('a state is logged when it changes, not whenever it is seen', () => {
  const { logger, lines, last } = collect();
  const redis = logger.oncePerState('redis');
  expect([1, 2, 3].map(() => redis.change('away', 'warn', 'redis is away', { host: 'r1' }))).toEqual([true, false, false]);
  expect(logger.child({}).oncePerState('redis').change('away', 'warn', 'redis is away')).toBe(false);
  expect(redis.change('back', 'info', 'redis is back')).toBe(true);
  expect(logger.oncePerState('postgres').change('away', 'warn', 'postgres is away')).toBe(true);
  expect(lines).toHaveLength(3);
  expect(last()).toMatchObject({ state: 'away', msg: 'postgres is away' });
});

test('a Secret shows itself to nobody but reveal()', () => {
  const secret = new Secret('hunter2');
  for (const shown of [`${secret}`, String(secret), JSON.stringify({ secret }), inspect(secret), inspect({ deep: { secret } }), secret + '']) expect(shown).not.toContain('hunter2');
  expect(secret.reveal()).toBe('hunter2');
  const { logger, lines } = collect();
  logger.error('failed', { value: secret, list: [secret] });
  expect(lines[0]).not.toContain('hunter2');
});

test.each(['authorization', 'Authorization', 'api_key', 'x-api-key', 'apiKey', 'token', 'password', 'master_key', 'LITELLM_MASTER_KEY', 'OPENAI_API_KEY', 'aws_secret_access_key', 'set-cookie', 'client_secret', 'DATABASE_URL'])(
  'a field named %s is masked at any depth',
  (name) => {
    const { logger, lines } = collect();
    logger.info('x', { [name]: 'hunter2', one: { two: { three: [{ [name]: { nested: 'hunter2' } }] } } });
    expect(lines[0]).not.toContain('hunter2');
    expect(lines[0]).toContain('[secret]');
  },
);

test('counts of tokens are no secrets', () => {
  expect(redact({ prompt_tokens: 12, max_tokens: 5, total_tokens: 17, key_hash: 'ab', token_count: 1 })).toEqual({ prompt_tokens: 12, max_tokens: 5, total_tokens: 17, key_hash: 'ab', token_count: 1 });
});

test.each([
  ['an OpenAI key in a text', 'Incorrect API key provided: sk-proj-abcDEF_123-xyz.', 'abcDEF'],
  ['an Anthropic key', 'x sk-ant-api03-verySECRET y', 'verySECRET'],
  ['a bearer header', 'sent Authorization: Bearer abcdefghijklmnop', 'abcdefghijklmnop'],
  ['the password of a URL', 'connect postgres://admin:hunter2@db:5432/x failed', 'hunter2'],
  ['a password without a user', 'redis://:hunter2@redis:6379', 'hunter2'],
])('%s is masked wherever it stands', (_name, text, secret) => {
  expect(redactText(text)).not.toContain(secret);
  const { logger, lines } = collect();
  logger.error(text, { error: new Error(text, { cause: new Error(text) }), deep: { list: [text] } });
  expect(lines[0]).not.toContain(secret);
});

test('a key that lies across the cut of a long text is masked, not halved', () => {
  expect(redactText(`${'x'.repeat(2040)} sk-abcdefghijklmnopqrstuvwxyz`)).not.toContain('sk-a');
});

test('what is logged is bounded: texts, lists, objects, depth, circles', () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  const { logger, lines } = collect();
  logger.info('big', { text: 'x'.repeat(1_000_000), list: Array.from({ length: 10_000 }, (_value, index) => index), wide: Object.fromEntries(Array.from({ length: 10_000 }, (_value, index) => [`key${index}`, index])), circle, bytes: Buffer.alloc(1_000_000) });
  expect(lines[0]?.length).toBeLessThan(10_000);
});

test('odd values do not break a line', () => {
  const { logger, last } = collect();
  logger.info('odd', { big: 10n, nothing: null, none: undefined, run: () => 1, symbol: Symbol('s'), nan: Number.NaN, date: new Date(0), bad: new Date(Number.NaN), ...(JSON.parse('{"__proto__": {"polluted": true}}') as object) });
  expect(last()).toMatchObject({ big: '10', nothing: null, run: '[function]', nan: 'NaN', date: '1970-01-01T00:00:00.000Z', bad: 'Invalid Date' });
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
});

async function runScript(script: string): Promise<{ stdout: string; code: number | null }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { stdout, code };
}

const START = `import { startTelemetry } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)};
const { logger } = startTelemetry({ serviceName: 'child', serviceVersion: '1', logLevel: 'info', processMetrics: false });`;

test.each([
  ['process.exit', 'process.exit(3);', 3],
  ['a crash', 'process.on("uncaughtException", () => process.exit(1)); throw new Error("end");', 1],
  ['the end of its work', '', 0],
])('no line is lost or reordered when the process ends by %s', async (_name, ending, expected) => {
  const { stdout, code } = await runScript(`${START}
for (let index = 0; index < 2000; index += 1) logger.info('line', { index, pad: 'x'.repeat(100) });
${ending}`);
  const numbers = stdout.trimEnd().split('\n').map((line) => (JSON.parse(line) as { index: number }).index);
  expect(numbers).toEqual(Array.from({ length: 2000 }, (_value, index) => index));
  expect(code).toBe(expected);
});
