import { crc32 } from 'node:zlib';
import { isJsonObject, type JsonObject } from '@pointsman/schemas';
import type { Usage } from '@pointsman/wire-formats';
import type { StoredReply } from './response-cache.ts';

// version (1 byte) | CRC-32 of everything after it (4) | length of the head (4) | head: JSON | for each piece: its length (4) and its UTF-8. Numbers are big-endian.
const VERSION = 1;
const PREFIX_BYTES = 9;
const LENGTH_BYTES = 4;

/** A stored reply as bytes. The key stands inside, so that a store which mixes up its values cannot pass one for another. */
export function encodeStoredReply(key: string, { pieces, storedAtMs, modelId, usage, usageEstimated, finishReason, responseId }: StoredReply): Buffer {
  const head = JSON.stringify({ key, at: storedAtMs, model: modelId, usage, estimated: usageEstimated, finish: finishReason, id: responseId });
  const headBytes = Buffer.byteLength(head);
  let size = PREFIX_BYTES + headBytes;
  for (const piece of pieces) size += LENGTH_BYTES + Buffer.byteLength(piece);
  // Small ones come out of Node's pool: a store that keeps them copies them.
  const bytes = Buffer.allocUnsafe(size);
  bytes[0] = VERSION;
  bytes.writeUInt32BE(headBytes, 5);
  let at = put(bytes, PREFIX_BYTES, head, headBytes);
  for (const piece of pieces) {
    const length = pieces.length === 1 ? size - at - LENGTH_BYTES : Buffer.byteLength(piece);
    at = put(bytes, bytes.writeUInt32BE(length, at), piece, length);
  }
  bytes.writeUInt32BE(crc32(bytes.subarray(5)), 1);
  return bytes;
}

/** Text that takes a byte per character in UTF-8 is ASCII, and is copied instead of encoded. Returns where it ends. */
function put(bytes: Buffer, at: number, text: string, length: number): number {
  return at + bytes.write(text, at, length === text.length ? 'latin1' : 'utf8');
}

/** The reply, or undefined for bytes that are broken, of another version, or stored under another key. Never throws. */
export function decodeStoredReply(key: string, bytes: Buffer): StoredReply | undefined {
  if (!Buffer.isBuffer(bytes) || bytes.length < PREFIX_BYTES || bytes[0] !== VERSION || bytes.readUInt32BE(1) !== crc32(bytes.subarray(5))) return undefined;
  const headEnd = PREFIX_BYTES + bytes.readUInt32BE(5);
  if (headEnd > bytes.length) return undefined;
  const head = parseHead(bytes.toString('utf8', PREFIX_BYTES, headEnd));
  if (head === undefined || head['key'] !== key) return undefined;
  const pieces: string[] = [];
  for (let at = headEnd; at < bytes.length;) {
    if (at + LENGTH_BYTES > bytes.length) return undefined;
    const from = at + LENGTH_BYTES;
    at = from + bytes.readUInt32BE(at);
    if (at > bytes.length) return undefined;
    pieces.push(bytes.toString('utf8', from, at));
  }
  const { at, model, usage, estimated, finish, id } = head;
  if (pieces.length === 0 || typeof at !== 'number' || typeof model !== 'string' || !HEADER_SAFE.test(model)) return undefined;
  return {
    storedAtMs: at, modelId: model, usage: isUsage(usage) ? usage : undefined, usageEstimated: estimated === true,
    finishReason: typeof finish === 'string' ? finish : undefined, responseId: typeof id === 'string' ? id : undefined, pieces,
  };
}

/** The id of the deployment is sent as a header. */
const HEADER_SAFE = /^[\x20-\x7e]*$/;

function parseHead(text: string): JsonObject | undefined {
  try {
    const head: unknown = JSON.parse(text);
    return isJsonObject(head) ? head : undefined;
  } catch {
    return undefined;
  }
}

const USAGE_FIELDS = [
  'promptTokens', 'completionTokens', 'totalTokens', 'cachedTokens', 'cacheCreationTokens', 'cacheCreation1hTokens', 'reasoningTokens', 'audioInputTokens', 'audioOutputTokens',
] as const satisfies readonly (keyof Usage)[];

function isUsage(value: unknown): value is Usage {
  return isJsonObject(value) && USAGE_FIELDS.every((field) => typeof value[field] === 'number');
}
