import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ELEMENT, linearHead, node, onnxModel, temporaryDirectory, tensor, valueInfo } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { writeGeneration } from './artifact.fixture.ts';
import { inspectModel } from './inspect-model.ts';
import { loadRouterModel } from './load-router-model.ts';
import { mapWeights } from './map-weights.ts';
import { HEAD_OPERATORS } from './operators.ts';

const COLUMNS = 2;

/** `scores` = the row of the table that the first n-gram names; row r holds [r, r + 0.5]. `padding` moves the table's data by so many bytes. */
function tableHead(rows: number, padding = 0): Uint8Array {
  const table = Float32Array.from({ length: rows * COLUMNS }, (_, index) => Math.floor(index / COLUMNS) + (index % COLUMNS) / 2);
  return onnxModel({
    nodes: [node({ op: 'Gather', inputs: ['table', 'ngram_index'], outputs: ['rows'] }), node({ op: 'ReduceMax', inputs: ['rows', 'zero'], outputs: ['scores'] })],
    initializers: [
      tensor({ name: 'zero', dims: [1], type: ELEMENT.int64, extra: [[7, 0], [12, 'p'.repeat(padding)]] }), tensor({ name: 'table', dims: [rows, COLUMNS], data: table }),
    ],
    inputs: [valueInfo('ngram_index', ELEMENT.int32, ['N'])], outputs: [valueInfo('scores', ELEMENT.float, ['n', COLUMNS])], opsets: [['', 18]],
  });
}

test('only large weights are taken out, and what is left refers to where they lie', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'model.onnx');
  const head = tableHead(100_000);
  await writeFile(path, head);
  const structure = Buffer.from(mapWeights(path) ?? []);
  expect(structure.length).toBeLessThan(1_000);
  const offset = Buffer.from(head).indexOf(Buffer.from(Float32Array.of(0, 0.5, 1, 1.5, 2, 2.5).buffer));
  expect(structure.toString('latin1')).toContain(`offset\x12${String.fromCharCode(String(offset).length)}${offset}`);
  expect(structure.toString('latin1')).toContain('model.onnx');
  // What is left is what the inspection would never let in.
  await writeFile(path, structure);
  expect(() => inspectModel(path, { maxBytes: 10_000, operators: HEAD_OPERATORS })).toThrow('another file');
});

test('a model of small weights stays as it is, byte for byte', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'model.onnx');
  const head = linearHead({ features: 2, weights: new Float32Array(4), bias: new Float32Array(2) });
  await writeFile(path, head);
  expect(Buffer.from(mapWeights(path) ?? []).equals(head)).toBe(true);
});

test.each([0, 1, 2, 3])('a large head answers from its mapped weights, wherever in the file they begin (%i)', async (padding) => {
  await using directory = await temporaryDirectory();
  const rows = 2_200_000;
  const { directory: generation } = await writeGeneration(directory.path, { head: tableHead(rows, padding) });
  const model = await loadRouterModel(generation, { maxBytes: 100_000_000, placement: 'thread' });
  for (const row of [0, 77_777, rows - 1]) {
    const scores = await model.predict({ text: new Float32Array(0), embedding: new Float32Array(0), ngramIndex: Int32Array.of(row), ngramValue: Float32Array.of(0) });
    expect([...scores]).toEqual([row, row + 0.5]);
  }
  await model.close();
});
