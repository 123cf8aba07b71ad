import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ELEMENT, eventually, node, onnxModel, temporaryDirectory, tensor, valueInfo } from '@pointsman/testing';
import { describe, expect, test } from 'vitest';
import { lengthHead, trivialExtractor, writeGeneration, type ArtifactParts } from './artifact.fixture.ts';
import { residentBytes } from './resident-memory.ts';
import { selfTestArtifact, type SelfTestOptions } from './self-test.ts';
import type { SelfTestFigures } from './self-test-messages.ts';

const MIB = 1024 * 1024;
const limits = { maxBytes: 10 * MIB, memoryLimitBytes: 600 * MIB, timeoutMs: 20_000, extractorModule: trivialExtractor };

async function selfTest(parts: ArtifactParts = {}, options: Partial<SelfTestOptions> = {}): Promise<SelfTestFigures> {
  await using directory = await temporaryDirectory();
  const { directory: generation } = await writeGeneration(directory.path, parts);
  return await selfTestArtifact(generation, { ...limits, ...options });
}

/** Runs a program in the child's place; it may write its process id and more beside itself. */
async function withChild(code: string, options: Partial<SelfTestOptions>, check: (run: Promise<SelfTestFigures>, pid: () => Promise<number>, directory: string) => Promise<void>): Promise<void> {
  await using directory = await temporaryDirectory();
  const entry = join(directory.path, 'child.mjs');
  await writeFile(entry, `import { writeFileSync, writeSync, readFileSync } from 'node:fs';\nwriteFileSync(import.meta.dirname + '/pid', String(process.pid));\n${code}`);
  const { readFile } = await import('node:fs/promises');
  await check(selfTestArtifact(directory.path, { ...limits, ...options, entry }), () => eventually(async () => Number(await readFile(join(directory.path, 'pid'), 'utf8')) || false), directory.path);
}

test('a good artifact passes and is measured', async () => {
  const figures = await selfTest();
  expect(figures).toMatchObject({ weightBytes: 24, fileBytes: lengthHead().length });
  expect(figures.peakBytes).toBeGreaterThan(40 * MIB);
  expect(figures.worstDifference).toBeLessThan(1e-4);
});

describe('refused with its reason:', () => {
  const head = (op: string): Uint8Array => onnxModel({ nodes: [node({ op, inputs: ['text'], outputs: ['scores'] })], inputs: [valueInfo('text', ELEMENT.float, [1, 2])], outputs: [valueInfo('scores', ELEMENT.float, [1, 2])] });
  test('a golden score that it does not give', async () => {
    await expect(selfTest({ head: lengthHead(0.5) })).rejects.toMatchObject({ refusal: 'golden_mismatch', message: 'Golden row 0: small scores 0.500000 instead of 0.250000; 0.0001 is tolerated.' });
  });
  test('NaN for a prompt without a word', async () => {
    await expect(selfTest({ head: head('Log'), manifest: { golden: [{ prompt: 'x', scores: { small: 0 }, tolerance: 0.1 }] } })).rejects.toMatchObject({ refusal: 'bad_output' });
  });
  test('a golden row about nothing or nobody', async () => {
    await expect(selfTest({ manifest: { golden: [{ prompt: 'x', scores: {}, tolerance: 1 }] } })).rejects.toMatchObject({ refusal: 'manifest' });
    await expect(selfTest({ manifest: { golden: [{ prompt: 'x', scores: { nobody: 1 }, tolerance: 1 }] } })).rejects.toMatchObject({ refusal: 'manifest' });
  });
  test('features that cannot be made here', async () => {
    await expect(selfTest({ manifest: { features: { version: 99, embedder: { name: 'none', sha256: '', dimensions: 0 } } } })).rejects.toMatchObject({ refusal: 'features' });
  });
  test('a file that onnxruntime refuses, and one that it never sees', async () => {
    await expect(selfTest({ head: head('MatMul') })).rejects.toMatchObject({ refusal: 'load_failed' });
    await expect(selfTest({ head: Buffer.from('garbage') })).rejects.toMatchObject({ refusal: 'not_onnx' });
  });
  test('a real model that makes a huge tensor of a small one', async () => {
    const greedy = onnxModel({
      nodes: [node({ op: 'Expand', inputs: ['one', 'shape'], outputs: ['huge'] }), node({ op: 'ReduceSum', inputs: ['huge'], outputs: ['sum'] }), node({ op: 'Add', inputs: ['text', 'sum'], outputs: ['scores'] })],
      initializers: [tensor({ name: 'one', dims: [1], data: Float32Array.of(1) }), tensor({ name: 'shape', dims: [2], type: ELEMENT.int64, data: BigInt64Array.of(30_000n, 10_000n) })],
      inputs: [valueInfo('text', ELEMENT.float, [1, 2])], outputs: [valueInfo('scores', ELEMENT.float, [1, 2])],
    });
    await expect(selfTest({ head: greedy }, { memoryLimitBytes: 400 * MIB })).rejects.toMatchObject({ refusal: 'memory_exceeded' });
  });
});

describe('a child that', () => {
  test('crashes is told by its signal', async () => {
    await withChild("process.kill(process.pid, 'SIGSEGV'); setInterval(() => {}, 1000);", {}, async (run) => {
      await expect(run).rejects.toMatchObject({ refusal: 'crashed', message: 'The model ended its self-test with SIGSEGV.' });
    });
    await withChild("console.error('last words'); process.exit(3);", {}, async (run) => {
      await expect(run).rejects.toMatchObject({ refusal: 'crashed', message: expect.stringContaining('exit code 3'), cause: 'last words\n' });
    });
  });

  test('hangs is killed at the deadline', async () => {
    await withChild('for (;;);', { timeoutMs: 700 }, async (run, pid) => {
      const child = await pid();
      await expect(run).rejects.toMatchObject({ refusal: 'timeout' });
      expect(residentBytes(child)).toBeUndefined();
    });
  });

  test('eats memory is killed at the limit', async () => {
    await withChild('const kept = []; setInterval(() => kept.push(Buffer.alloc(30 * 1024 * 1024, 1)), 5);', { memoryLimitBytes: 300 * MIB }, async (run, pid) => {
      const child = await pid();
      await expect(run).rejects.toMatchObject({ refusal: 'memory_exceeded', message: 'The model took more than 300 MiB in its self-test.' });
      expect(residentBytes(child)).toBeUndefined();
    });
  });

  test('says nothing sensible, or says it for ever, is refused', async () => {
    await withChild("writeSync(3, 'well done\\n'); setInterval(() => {}, 1000);", {}, async (run) => {
      await expect(run).rejects.toMatchObject({ refusal: 'crashed', message: expect.stringContaining('no verdict') });
    });
    await withChild("writeSync(3, JSON.stringify({ passed: { fileBytes: 'many' } }) + '\\n'); setInterval(() => {}, 1000);", {}, async (run) => {
      await expect(run).rejects.toMatchObject({ refusal: 'crashed' });
    });
    await withChild("for (;;) writeSync(3, 'x'.repeat(4096));", {}, async (run) => {
      await expect(run).rejects.toMatchObject({ refusal: 'crashed', message: expect.stringContaining('more than a verdict') });
    });
  });

  test('passes is killed too', async () => {
    const passed = { fileBytes: 1, weightBytes: 1, loadMs: 1, runMs: 1, peakBytes: 1, worstDifference: 0 };
    await withChild(`writeSync(3, JSON.stringify({ passed: ${JSON.stringify(passed)} }) + '\\n'); setInterval(() => {}, 1000);`, {}, async (run, pid) => {
      expect(await run).toEqual(passed);
      expect(residentBytes(await pid())).toBeUndefined();
    });
  });

  test('is no longer wanted is killed with that reason', async () => {
    const stop = new AbortController();
    await withChild('setInterval(() => {}, 1000);', { signal: stop.signal }, async (run, pid) => {
      const child = await pid();
      stop.abort(new Error('not wanted any more'));
      await expect(run).rejects.toThrow('not wanted any more');
      expect(residentBytes(child)).toBeUndefined();
    });
  });

  test('looks for secrets finds none, and dies first', async () => {
    process.env['SECRET_OF_THE_GATEWAY'] = 'sk-123';
    const waitThenTell = "setInterval(() => { if (readFileSync('/proc/self/oom_score_adj', 'utf8').trim() === '1000') { console.error(Object.keys(process.env).join()); process.exit(4); } }, 10);";
    await withChild(waitThenTell, {}, async (run) => {
      await expect(run).rejects.toMatchObject({ refusal: 'crashed', cause: 'PATH\n' });
    }).finally(() => delete process.env['SECRET_OF_THE_GATEWAY']);
  });
});
