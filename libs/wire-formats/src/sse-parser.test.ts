import { describe, expect, test } from 'vitest';
import { formatSse } from './format-sse.ts';
import { SseParser } from './sse-parser.ts';
import type { SseEvent } from './sse.ts';

function parseAll(chunks: readonly Buffer[], options = {}): { events: SseEvent[]; incomplete: boolean; leftover: SseEvent | undefined } {
  const parser = new SseParser(options);
  const events = chunks.flatMap((chunk) => [...parser.push(chunk)]);
  return { events, ...parser.end() };
}

/** A plain reading of the WHATWG rules over the whole text at once: what the incremental parser must agree with. */
function reference(bytes: Buffer): { events: SseEvent[]; incomplete: boolean } {
  let text = bytes.toString('utf8');
  if (text.startsWith('\uFEFF')) text = text.slice(1);
  const lines = text.split(/\r\n|\r|\n/);
  const last = lines.pop() ?? '';
  const events: SseEvent[] = [];
  let data: string[] = [];
  let event = '';
  for (const line of lines) {
    if (line === '') {
      if (data.length > 0) events.push({ event, data: data.join('\n') });
      data = [];
      event = '';
      continue;
    }
    const match = /^([^:]*)(?:: ?)?([^]*)$/.exec(line);
    if (line.startsWith(':')) continue;
    if (match?.[1] === 'data') data.push(match[2] ?? '');
    if (match?.[1] === 'event') event = match[2] ?? '';
  }
  return { events, incomplete: last !== '' || data.length > 0 || event !== '' };
}

const awkward = Buffer.from(
  '\uFEFF: hello\n\ndata: {"a":"é€😀"}\n\nevent: message_start\r\ndata: one\r\ndata: two\r\n\r\ndata:no space\rid: 7\rretry: 5\r\rdata\n\n' +
    'event: nothing\n\n:\n\ndata:  two spaces\n\nunknown: x\ndata: [DONE]\n\n',
);
const expected: SseEvent[] = [
  { event: '', data: '{"a":"é€😀"}' },
  { event: 'message_start', data: 'one\ntwo' },
  { event: '', data: 'no space' },
  { event: '', data: '' },
  { event: '', data: ' two spaces' },
  { event: '', data: '[DONE]' },
];

describe('SseParser', () => {
  test('reads comments, BOM, every line ending, several data lines and event names', () => {
    expect(parseAll([awkward])).toEqual({ events: expected, incomplete: false, leftover: undefined });
  });

  test('gives the same events wherever the bytes are cut in two', () => {
    for (let cut = 0; cut <= awkward.length; cut += 1) {
      expect(parseAll([awkward.subarray(0, cut), awkward.subarray(cut)]).events, `cut at ${cut}`).toEqual(expected);
    }
  });

  test('gives the same events byte by byte', () => {
    expect(parseAll([...awkward].map((byte) => Buffer.from([byte]))).events).toEqual(expected);
  });

  test('delivers an event as soon as its blank line is there, also with bare carriage returns', () => {
    const parser = new SseParser();
    expect(parser.push(Buffer.from('data: a\r\r'))).toEqual([{ event: '', data: 'a' }]);
    expect(parser.push(Buffer.from('\ndata: b\r\n\r'))).toEqual([{ event: '', data: 'b' }]);
    expect(parser.push(Buffer.from('\n'))).toEqual([]);
    expect(parser.end().incomplete).toBe(false);
  });

  test('a name belongs to one event only', () => {
    const text = 'event: a\ndata: 1\n\ndata: 2\n\nevent: b\n\ndata: 3\n\n';
    expect(parseAll([Buffer.from(text)]).events).toEqual([{ event: 'a', data: '1' }, { event: '', data: '2' }, { event: '', data: '3' }]);
  });

  test('keeps no reference to the bytes of a chunk, which the caller may reuse', () => {
    const parser = new SseParser();
    const chunk = Buffer.concat([Buffer.from('data: '), Buffer.from('😀').subarray(0, 2)]);
    parser.push(chunk);
    chunk.fill(0x41);
    expect(parser.push(Buffer.concat([Buffer.from('😀').subarray(2), Buffer.from('\n\n')]))).toEqual([{ event: '', data: '😀' }]);
  });

  test.each([
    ['data: {"cut":', { event: '', data: '{"cut":' }],
    ['data: [DONE]\n', { event: '', data: '[DONE]' }],
    ['data: [DONE]', { event: '', data: '[DONE]' }],
    ['event: message_stop\n', { event: 'message_stop', data: '' }],
  ])('reports %j as incomplete and delivers nothing of it', (text, leftover) => {
    expect(parseAll([Buffer.from(`data: ok\n\n${text}`)])).toEqual({ events: [{ event: '', data: 'ok' }], incomplete: true, leftover });
  });

  test('a character cut at the very end is incomplete', () => {
    expect(parseAll([Buffer.from('data: ok\n\n'), Buffer.from('€').subarray(0, 1)]).incomplete).toBe(true);
  });

  test('refuses an event that never ends, however small the pieces', () => {
    const parser = new SseParser({ maxEventCharacters: 1000 });
    const push = (): void => {
      for (let index = 0; index < 200; index += 1) parser.push(Buffer.from('data: 0123456789'));
    };
    expect(push).toThrow(expect.objectContaining({ code: 'stream_event_too_large', kind: 'upstream_failed' }));
    const lines = new SseParser({ maxEventCharacters: 1000 });
    expect(() => {
      for (let index = 0; index < 200; index += 1) lines.push(Buffer.from('data: 0123456789\n'));
    }).toThrow(expect.objectContaining({ code: 'stream_event_too_large' }));
  });

  test('agrees with a plain reading of the rules on random bytes, cut at random', () => {
    let seed = 20_260_131;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
      return (seed >>> 8) % below;
    };
    const pieces = ['data: ', 'data:', 'data', 'event: ', 'event:x', ':', '\n', '\n\n', '\r', '\r\n', '\r\n\r\n', 'é', '😀', '{"a":1}', 'event: a\n', 'data: b\n\n', 'data: c\n', ' ', 'id: 1', '\uFEFF', 'x'].map((piece) => Buffer.from(piece));
    const stray = [Buffer.from([0xc3]), Buffer.from([0xf0, 0x9f]), Buffer.from([0x80]), Buffer.from([0xff])];
    for (let round = 0; round < 3000; round += 1) {
      const parts = Array.from({ length: 1 + random(14) }, () => (random(12) === 0 ? stray[random(stray.length)] : pieces[random(pieces.length)]) as Buffer);
      const bytes = Buffer.concat([...parts, ...(random(2) === 0 ? [Buffer.from('\n\n')] : [])]);
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length; ) {
        const size = 1 + random(7);
        chunks.push(bytes.subarray(at, at + size));
        at += size;
      }
      const got = parseAll(chunks);
      expect({ events: got.events, incomplete: got.incomplete }, JSON.stringify(bytes.toString('latin1'))).toEqual(reference(bytes));
    }
  });
});

describe('formatSse', () => {
  test('writes event lines only where an event has a name', () => {
    expect(formatSse([{ event: '', data: '{}' }, { event: 'ping', data: '{"type":"ping"}' }])).toBe('data: {}\n\nevent: ping\ndata: {"type":"ping"}\n\n');
  });

  test('what it writes is what the parser reads, line breaks in the data included', () => {
    const events = [{ event: 'a', data: 'x\ny\n\nz' }, { event: '', data: '' }, { event: '', data: 'data: forged\n\ndata: frame' }];
    expect(parseAll([Buffer.from(formatSse(events))]).events).toEqual(events);
    expect(parseAll([Buffer.from(formatSse([{ event: '', data: 'a\rb\r\nc' }]))]).events).toEqual([{ event: '', data: 'a\nb\nc' }]);
  });
});
