import { createHash } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { encodeStaticEmbedder, openMinilm, readVocabulary, WordPiece } from '@pointsman/routing';
import { countTokens } from './src/embedder/count-tokens.ts';
import { distillTable } from './src/embedder/distill-table.ts';

/**
 * Makes the table of the `static` embedder from a sentence transformer: every token of its vocabulary as `[CLS] token [SEP]` through the model, mean of
 * the hidden states, PCA, SIF weights from the token frequencies of a corpus, int8. The same input gives the same bytes.
 *
 *   node tools/distill-static-embedder.ts --model DIR --out FILE [--dimensions 128] [--frequencies FILE.jsonl.gz …]
 *
 * DIR holds `model.onnx` and `vocab.txt`. Of the corpus only one weight per token goes into the table.
 */
const BATCH = 32;
const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    out: { type: 'string' },
    dimensions: { type: 'string', default: '128' },
    frequencies: { type: 'string', multiple: true, default: [] },
    source: { type: 'string', default: 'sentence-transformers/all-MiniLM-L6-v2' },
    licence: { type: 'string', default: 'Weights derived from sentence-transformers/all-MiniLM-L6-v2, Apache License 2.0; vocabulary of BERT base uncased, Apache License 2.0' },
  },
});
const { model, out } = values;
const dimensions = Number(values.dimensions);
if (model === undefined || out === undefined || !Number.isInteger(dimensions) || dimensions < 1) {
  console.error('usage: node tools/distill-static-embedder.ts --model DIR --out FILE [--dimensions 128] [--frequencies FILE …]');
  process.exit(64);
}

const onnx = join(model, 'model.onnx');
const vocabulary = readVocabulary(await readFile(join(model, 'vocab.txt'), 'utf8'));
const wordPiece = new WordPiece(vocabulary);
const counts = await countTokens(values.frequencies, wordPiece);
const session = await openMinilm(onnx);
if (dimensions > session.dimensions) throw new RangeError(`The model has ${session.dimensions} dimensions, ${dimensions} are asked for.`);

const vectors = new Float32Array(vocabulary.length * session.dimensions);
for (let from = 0; from < vocabulary.length; from += BATCH) {
  const size = Math.min(BATCH, vocabulary.length - from);
  const ids = new BigInt64Array(size * 3);
  for (let at = 0; at < size; at += 1) ids.set([BigInt(wordPiece.cls), BigInt(from + at), BigInt(wordPiece.sep)], at * 3);
  vectors.set(await session.meanPool(ids, size), from * session.dimensions);
  showProgress(from + size, vocabulary.length);
}
await session.close();

const table = distillTable(vectors, { modelDimensions: session.dimensions, dimensions, counts });
const file = encodeStaticEmbedder({
  header: {
    tokens: vocabulary.length,
    dimensions,
    source: values.source,
    sourceSha256: createHash('sha256').update(await readFile(onnx)).digest('hex'),
    licence: values.licence,
  },
  vocabulary,
  scales: table.scales,
  rows: table.rows,
});
await writeFile(`${out}.partial`, file);
await rename(`${out}.partial`, out);
console.log(`${out}: ${vocabulary.length} tokens, ${dimensions} dimensions, ${(100 * table.varianceKept).toFixed(1)} % of the variance, ${file.length} bytes, sha256 ${createHash('sha256').update(file).digest('hex')}`);

/** A bar on a terminal; a line per tenth elsewhere. */
function showProgress(done: number, total: number): void {
  const tenths = Math.floor((10 * done) / total);
  if (process.stderr.isTTY) {
    const filled = Math.round((40 * done) / total);
    process.stderr.write(`\r[${'#'.repeat(filled)}${' '.repeat(40 - filled)}] ${done}/${total} tokens${done === total ? '\n' : ''}`);
  } else if (tenths !== Math.floor((10 * (done - BATCH)) / total)) process.stderr.write(`${tenths * 10} % of ${total} tokens\n`);
}
