import { promisify } from 'node:util';
import { brotliCompressSync, brotliDecompress, constants } from 'node:zlib';

/**
 * The file of a static embedder, all numbers little-endian:
 *
 * | bytes               | holds |
 * | ------------------- | ----- |
 * | 8                   | `PMEMBED1` |
 * | 4                   | uint32: bytes of the header, a multiple of 4 |
 * | header              | JSON of `StaticEmbedderHeader`, padded with spaces |
 * | tokens × 4          | float32: scale of each token's row |
 * | tokens × dimensions | int8: the rows; vector of a token = row × scale, its weight baked in |
 * | vocabularyBytes     | brotli: the WordPiece vocabulary, one token per line |
 */
export interface StaticEmbedderHeader {
  readonly tokens: number;
  readonly dimensions: number;
  readonly vocabularyBytes: number;
  /** What the weights were made from. */
  readonly source: string;
  /** Hex, of the ONNX file the weights were made from. */
  readonly sourceSha256: string;
  readonly licence: string;
}

export interface StaticEmbedderTable {
  readonly header: StaticEmbedderHeader;
  readonly vocabulary: readonly string[];
  readonly scales: Float32Array;
  /** Row after row, `dimensions` each. */
  readonly rows: Int8Array;
}

const MAGIC = 'PMEMBED1';
const MAX_TOKENS = 200_000;
const MAX_DIMENSIONS = 1_024;
const MAX_VOCABULARY_BYTES = 8 * 1024 * 1024;
const decompress = promisify(brotliDecompress);

/** The file of a table; the same table gives the same bytes on the same Node version. */
export function encodeStaticEmbedder(table: Omit<StaticEmbedderTable, 'header'> & { readonly header: Omit<StaticEmbedderHeader, 'vocabularyBytes'> }): Buffer {
  const vocabulary = brotliCompressSync(`${table.vocabulary.join('\n')}\n`, { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } });
  const json = JSON.stringify({ ...table.header, vocabularyBytes: vocabulary.length } satisfies StaticEmbedderHeader);
  const header = Buffer.from(json.padEnd(json.length + ((4 - (Buffer.byteLength(json) % 4)) % 4)), 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  const scales = Buffer.alloc(table.scales.length * 4);
  table.scales.forEach((scale, index) => scales.writeFloatLE(scale, index * 4));
  return Buffer.concat([Buffer.from(MAGIC, 'latin1'), length, header, scales, Buffer.from(table.rows.buffer, table.rows.byteOffset, table.rows.length), vocabulary]);
}

/** Reads a static embedder's file. Throws `RangeError` for anything that is not one, whole. */
export async function decodeStaticEmbedder(file: Uint8Array): Promise<StaticEmbedderTable> {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length < 12 || bytes.toString('latin1', 0, 8) !== MAGIC) throw new RangeError('Not a static embedder: the file does not begin with PMEMBED1.');
  const headerBytes = bytes.readUInt32LE(8);
  if (headerBytes > 65_536 || bytes.length < 12 + headerBytes) throw new RangeError('Static embedder: the header is cut off or too long.');
  const header = readHeader(bytes.toString('utf8', 12, 12 + headerBytes));
  const { tokens, dimensions, vocabularyBytes } = header;
  const scalesAt = 12 + headerBytes;
  const rowsAt = scalesAt + tokens * 4;
  const vocabularyAt = rowsAt + tokens * dimensions;
  if (bytes.length !== vocabularyAt + vocabularyBytes) {
    throw new RangeError(`Static embedder: the file holds ${bytes.length} bytes, its header says ${vocabularyAt + vocabularyBytes}.`);
  }
  const scales = new Float32Array(tokens);
  for (let token = 0; token < tokens; token += 1) {
    const scale = bytes.readFloatLE(scalesAt + token * 4);
    if (!Number.isFinite(scale)) throw new RangeError(`Static embedder: the scale of token ${token} is not a number.`);
    scales[token] = scale;
  }
  const text = await decompress(bytes.subarray(vocabularyAt), { maxOutputLength: MAX_VOCABULARY_BYTES });
  const vocabulary = readVocabulary(text.toString('utf8'));
  if (vocabulary.length !== tokens) throw new RangeError(`Static embedder: ${vocabulary.length} words for ${tokens} rows.`);
  return { header, vocabulary, scales, rows: new Int8Array(bytes.buffer, bytes.byteOffset + rowsAt, tokens * dimensions) };
}

/** Tokens of a `vocab.txt`, one per line; the line number is the token's id. */
export function readVocabulary(text: string): readonly string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
}

function readHeader(json: string): StaticEmbedderHeader {
  let header: Partial<Record<keyof StaticEmbedderHeader, unknown>> | null;
  try {
    header = JSON.parse(json) as typeof header;
  } catch (error) {
    throw new RangeError('Static embedder: the header is no JSON.', { cause: error });
  }
  const count = (name: 'tokens' | 'dimensions' | 'vocabularyBytes', most: number): number => {
    const value = header?.[name];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > most) throw new RangeError(`Static embedder: bad ${name} in the header.`);
    return value;
  };
  const string = (name: 'source' | 'sourceSha256' | 'licence'): string => {
    const value = header?.[name];
    return typeof value === 'string' ? value : '';
  };
  return {
    tokens: count('tokens', MAX_TOKENS),
    dimensions: count('dimensions', MAX_DIMENSIONS),
    vocabularyBytes: count('vocabularyBytes', MAX_VOCABULARY_BYTES),
    source: string('source'),
    sourceSha256: string('sourceSha256'),
    licence: string('licence'),
  };
}
