import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ELEMENT, node, onnxModel, temporaryDirectory, tensor, valueInfo } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { MAX_WAITING_RUNS, openMinilmSession, type MinilmSession } from './minilm-session.ts';

/** Hidden states are rows of the table; a product with a large matrix makes a run last. */
function slowTransformer(width: number): Uint8Array {
  return onnxModel({
    nodes: [
      node({ op: 'Gather', inputs: ['table', 'input_ids'], outputs: ['states'] }),
      node({ op: 'MatMul', inputs: ['states', 'square'], outputs: ['last_hidden_state'] }),
    ],
    initializers: [
      tensor({ name: 'table', dims: [4, width], data: new Float32Array(4 * width).fill(1) }),
      tensor({ name: 'square', dims: [width, width], data: new Float32Array(width * width).fill(1 / width) }),
    ],
    inputs: ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => valueInfo(name, ELEMENT.int64, ['batch', 'sequence'])),
    outputs: [valueInfo('last_hidden_state', ELEMENT.float, ['batch', 'sequence', width])],
  });
}

async function open(): Promise<MinilmSession & AsyncDisposable> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'model.onnx');
  await writeFile(path, slowTransformer(512));
  const session = await openMinilmSession(path);
  return { ...session, [Symbol.asyncDispose]: () => session.close() };
}
const ids = (tokens: number): BigInt64Array => new BigInt64Array(tokens).fill(1n);

test('the event loop turns while the network runs', async () => {
  await using session = await open();
  let turns = 0;
  let running = true;
  const turn = (): void => {
    if (!running) return;
    turns += 1;
    setImmediate(turn);
  };
  setImmediate(turn);
  await session.meanPool(ids(2_048), 1).finally(() => (running = false));
  // In the caller's thread a run leaves the loop one or two turns.
  expect(turns).toBeGreaterThan(20);
});

test('a run that would have to wait behind too many is refused at once, the others are answered, and there is room again', async () => {
  await using session = await open();
  const runs = Array.from({ length: MAX_WAITING_RUNS + 1 }, () => session.meanPool(ids(4), 1));
  await expect(runs.at(-1)).rejects.toMatchObject({ code: 'embedder_busy', status: 503 });
  for (const pooled of await Promise.all(runs.slice(0, -1))) expect(pooled).toHaveLength(512);
  expect((await session.meanPool(ids(4), 1))[0]).toBeCloseTo(1);
});

test('closing answers what waits, and refuses what comes later', async () => {
  const session = await open();
  const run = session.meanPool(ids(16), 1);
  const closed = session.close();
  await expect(session.meanPool(ids(16), 1)).rejects.toMatchObject({ code: 'embedder_closed' });
  expect(await run).toHaveLength(512);
  await closed;
  await session.close();
});

test('a run that the network refuses fails alone', async () => {
  await using session = await open();
  await expect(session.meanPool(BigInt64Array.of(9n), 1)).rejects.toThrow(RangeError);
  expect(await session.meanPool(ids(1), 1)).toHaveLength(512);
});
