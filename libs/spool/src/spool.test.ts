import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, temporaryDirectory } from '@pointsman/testing';
import { expect, onTestFinished, test } from 'vitest';
import { openSpool, type Spool, type SpoolIo, type SpoolOptions } from './index.ts';

class RejectedRowsError extends Error {
  override readonly name = 'RejectedRowsError';
}

const soon = (): AbortSignal => AbortSignal.timeout(20_000);
const row = (id: number | string, padding = 0): string => JSON.stringify({ id, padding: 'x'.repeat(padding) });
const idOf = (line: string): unknown => (JSON.parse(line) as { id: unknown }).id;

interface Opened extends AsyncDisposable {
  readonly spool: Spool;
  readonly received: string[];
  readonly lost: { full: number; disk: number };
  readonly rejected: unknown[];
  readonly notes: string[];
  readonly states: boolean[];
}

/** A spool whose rows go to a list; `away` makes the receiver fail while it says true. */
async function opened(directory: string, options: Partial<SpoolOptions> & { readonly away?: () => boolean } = {}): Promise<Opened> {
  const received: string[] = [];
  const lost = { full: 0, disk: 0 };
  const rejected: unknown[] = [];
  const notes: string[] = [];
  const states: boolean[] = [];
  const spool = await openSpool({
    directory, maxBytes: 10_000_000, batchMs: 5, maxBackoffMs: 20,
    deliver: async (lines) => {
      if (options.away?.() === true) throw new Error('away');
      received.push(...lines);
    },
    onLost: (reason, rows) => {
      lost[reason] += rows;
    },
    onRejected: (_rows, reason) => rejected.push(reason),
    onInherited: (note) => notes.push(note),
    onDelivery: ({ failing }) => states.push(failing),
    ...options,
  });
  return { spool, received, lost, rejected, notes, states, [Symbol.asyncDispose]: () => spool.close() };
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

function rejectedText(directory: string): string {
  return filesBelow(join(directory, 'rejected')).map((path) => readFileSync(path, 'utf8')).join('');
}

/** A program that appends numbered rows as fast as it may and prints the number of the last one that was kept. */
const APPENDER = `
const { openSpool } = await import(process.argv[1]);
const spool = await openSpool({ directory: process.argv[2], maxBytes: 1e9, segmentBytes: 20000, deliver: async () => { throw new Error('never'); } });
const { writeSync } = await import('node:fs');
spool.note('last words of ' + process.argv[3]);
for (let at = 0; at < 1e6; at += 1) {
  spool.append(JSON.stringify({ id: process.argv[3] + '-' + at, padding: 'y'.repeat(at % 700) }));
  if (at % 20 === 0) writeSync(1, at + '\\n');
  if (at % 200 === 0) await new Promise(setImmediate);
}
`;

async function appendInChild(directory: string, name: string, untilAtLeast: number): Promise<number> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', APPENDER, join(import.meta.dirname, 'index.ts'), directory, name], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  let last = -1;
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    last = Number(output.slice(0, output.lastIndexOf('\n')).split('\n').at(-1));
    if (last >= untilAtLeast) child.kill('SIGKILL');
  });
  await once(child, 'close');
  return last;
}

test('rows arrive in the order appended, in batches, and leave no file behind', async () => {
  await using directory = await temporaryDirectory();
  const sizes: number[] = [];
  const received: unknown[] = [];
  const { spool } = await opened(directory.path, {
    batchRows: 100, segmentBytes: 2_000,
    deliver: async (lines) => {
      sizes.push(lines.length);
      received.push(...lines.map(idOf));
      await delay(1);
    },
  });
  for (let at = 0; at < 1_050; at += 1) expect(spool.append(row(at, at % 50))).toBe(true);
  expect(spool.backlog.rows).toBe(1_050);
  await spool.flush(soon());
  expect(received).toEqual(Array.from({ length: 1_050 }, (_, at) => at));
  expect(Math.max(...sizes)).toBeLessThanOrEqual(100);
  expect(spool.backlog).toMatchObject({ rows: 0, oldestAt: undefined });
  await spool.close();
  expect(readdirSync(directory.path)).toEqual([]);
});

test('rows are delivered without being asked for, and text beyond ASCII and newlines between tokens stay one row', async () => {
  await using directory = await temporaryDirectory();
  await using it = await opened(directory.path);
  it.spool.append('{"id":"é 漢 😀"}');
  it.spool.append('{\n"id":\n"two"\n}');
  it.spool.append(row('large', 300_000));
  await eventually(() => expect(it.received.map(idOf)).toEqual(['é 漢 😀', 'two', 'large']));
});

test('a receiver that is away gets everything in order when it is back, and each change of state is told once', async () => {
  await using directory = await temporaryDirectory();
  let away = true;
  let tries = 0;
  await using it = await opened(directory.path, { away: () => {
    tries += 1;
    return away;
  } });
  for (let at = 0; at < 600; at += 1) it.spool.append(row(at));
  await eventually(() => expect(tries).toBeGreaterThan(3));
  expect(it.states).toEqual([true]);
  expect(it.spool.backlog.oldestAt).toBeLessThanOrEqual(Date.now());
  away = false;
  await it.spool.flush(soon());
  expect(it.received.map(idOf)).toEqual(Array.from({ length: 600 }, (_, at) => at));
  expect(it.states).toEqual([true, false]);
});

test('a delivery that hangs is given up at its deadline, told so by its signal, and tried again', async () => {
  await using directory = await temporaryDirectory();
  const signals: AbortSignal[] = [];
  const received: string[] = [];
  await using it = await opened(directory.path, {
    deliverTimeoutMs: 20,
    deliver: (lines, signal) => {
      signals.push(signal);
      if (signals.length === 1) return new Promise(() => undefined);
      received.push(...lines);
      return Promise.resolve();
    },
  });
  it.spool.append(row(1));
  await it.spool.flush(soon());
  expect(received).toEqual([row(1)]);
  expect(signals[0]?.aborted).toBe(true);
  expect(signals[1]?.aborted).toBe(false);
});

test('what is left when a process closes its spool is delivered by the next, before its own rows', async () => {
  await using directory = await temporaryDirectory();
  const first = await opened(directory.path, { away: () => true, segmentBytes: 100 });
  for (let at = 0; at < 10; at += 1) first.spool.append(row(at, 20));
  await first.spool.close();
  expect(first.spool.append(row('late'))).toBe(false);
  await using second = await opened(directory.path);
  expect(second.spool.backlog.rows).toBe(10);
  second.spool.append(row(10));
  await second.spool.flush(soon());
  expect(second.received.map(idOf)).toEqual(Array.from({ length: 11 }, (_, at) => at));
});

test('a flush that is given up rejects with the reason of its signal', async () => {
  await using directory = await temporaryDirectory();
  await using it = await opened(directory.path, { away: () => true });
  it.spool.append(row(1));
  const control = new AbortController();
  const flushed = it.spool.flush(control.signal);
  control.abort(new Error('no time'));
  await expect(flushed).rejects.toThrow('no time');
  await expect(it.spool.flush(AbortSignal.abort(new Error('at once')))).rejects.toThrow('at once');
});

test('beyond the bound rows are refused and counted, also when the files were adopted, and taken again when there is room', async () => {
  await using directory = await temporaryDirectory();
  let away = true;
  const first = await opened(directory.path, { maxBytes: 10_000, away: () => away });
  let kept = 0;
  while (kept < 1_000 && first.spool.append(row(kept, 80))) kept += 1;
  expect(kept).toBeGreaterThan(80);
  expect(kept).toBeLessThan(1_000);
  expect(first.spool.append(row('refused', 80))).toBe(false);
  expect(first.lost).toEqual({ full: 2, disk: 0 });
  expect(first.spool.backlog.bytes).toBeLessThanOrEqual(10_000);
  await first.spool.close();
  await using second = await opened(directory.path, { maxBytes: 10_000, away: () => away });
  expect(second.spool.append(row('still full', 80))).toBe(false);
  away = false;
  await second.spool.flush(soon());
  expect(second.spool.append(row('room', 80))).toBe(true);
  await second.spool.flush(soon());
  expect(second.received.map(idOf)).toEqual([...Array.from({ length: kept }, (_, at) => at), 'room']);
});

test('a line longer than a megabyte is refused, and a bound smaller than a segment does not block for ever', async () => {
  await using directory = await temporaryDirectory();
  await using it = await opened(directory.path, { maxBytes: 400 });
  expect(it.spool.append(row('huge', 1_100_000))).toBe(false);
  for (let at = 0; at < 50; at += 1) {
    expect(it.spool.append(row(at, 100))).toBe(true);
    await it.spool.flush(soon());
  }
  expect(it.received).toHaveLength(50);
  expect(it.lost).toEqual({ full: 1, disk: 0 });
});

interface FakeDisk {
  readonly io: SpoolIo;
  /** Bytes it takes before it is full. */
  room: number;
}

/** A disk that fills up as a real one does: what fits is written, the next call fails; a new file needs a byte. */
function fakeDisk(): FakeDisk {
  const noSpace = (): Error => Object.assign(new Error('no space'), { code: 'ENOSPC' });
  const disk: FakeDisk = {
    room: Infinity,
    io: {
      open: (path) => {
        if (disk.room === 0) throw noSpace();
        return openSync(path, 'ax+');
      },
      write: (descriptor, bytes, length) => {
        const fits = Math.min(length, disk.room);
        if (fits === 0) throw noSpace();
        const written = writeSync(descriptor, bytes, 0, fits);
        disk.room -= written;
        return written;
      },
    },
  };
  return disk;
}

test('without room in memory a full disk refuses rows, tears none, and takes them again when it has room', async () => {
  await using directory = await temporaryDirectory();
  const disk = fakeDisk();
  await using it = await opened(directory.path, { io: disk.io, batchMs: 1, maxMemoryRows: 0 });
  expect(it.spool.append(row('before', 40))).toBe(true);
  disk.room = 25;
  expect(it.spool.append(row('cut', 40))).toBe(false);
  disk.room = 0;
  expect(it.spool.append(row('no space', 40))).toBe(false);
  disk.room = Infinity;
  await eventually(() => expect(it.spool.append(row('after', 40))).toBe(true));
  await it.spool.flush(soon());
  expect(it.received.map(idOf)).toEqual(['before', 'after']);
  expect(it.lost.disk).toBeGreaterThanOrEqual(2);
  expect(it.rejected).toEqual([]);
});

test('rows that a full disk refuses wait in memory and arrive in their place, whole, and each change of the disk is told once', async () => {
  await using directory = await temporaryDirectory();
  const disk = fakeDisk();
  let away = true;
  const changes: unknown[] = [];
  await using it = await opened(directory.path, { io: disk.io, away: () => away, batchRows: 7, diskCalmMs: 0, onDisk: ({ refuses }) => changes.push(refuses) });
  let next = 0;
  const append = (rows: number): void => {
    for (let at = 0; at < rows; at += 1, next += 1) expect(it.spool.append(row(next, 40))).toBe(true);
  };
  append(10);
  disk.room = 100;
  append(30);
  disk.room = Infinity;
  await eventually(() => {
    append(1);
    expect(changes).toEqual([true, false]);
  });
  disk.room = 0;
  append(10);
  expect(changes).toEqual([true, false, true]);
  expect(it.spool.append('{"id":\n"é 漢 😀"}')).toBe(true);
  expect(it.spool.backlog.rows).toBe(next + 1);
  away = false;
  await it.spool.flush(soon());
  expect(it.received.map(idOf)).toEqual([...Array.from({ length: next }, (_, at) => at), 'é 漢 😀']);
  expect(it.lost).toEqual({ full: 0, disk: 0 });
  expect(it.spool.backlog).toMatchObject({ rows: 0, oldestAt: undefined });
});

test('a disk that stays full costs nothing while the receiver takes rows; what waits in memory is bounded by rows and by bytes', async () => {
  await using directory = await temporaryDirectory();
  const disk = fakeDisk();
  disk.room = 0;
  let away = false;
  await using it = await opened(directory.path, { io: disk.io, away: () => away, maxMemoryRows: 10, maxMemoryBytes: 2_000 });
  for (let at = 0; at < 50; at += 1) {
    expect(it.spool.append(row(at))).toBe(true);
    if (at % 10 === 9) await it.spool.flush(soon());
  }
  expect(it.received.map(idOf)).toEqual(Array.from({ length: 50 }, (_, at) => at));
  expect(it.lost.disk).toBe(0);
  away = true;
  for (let at = 0; at < 12; at += 1) expect(it.spool.append(row(at))).toBe(at < 10);
  expect(it.lost).toEqual({ full: 0, disk: 2 });
  away = false;
  await it.spool.flush(soon());
  expect(it.spool.append(row('large', 1_500))).toBe(true);
  expect(it.spool.append(row('too much', 600))).toBe(false);
  await it.spool.flush(soon());
  expect(it.received).toHaveLength(61);
});

test('a row in memory that the receiver refuses for good is set aside; the others arrive', async () => {
  await using directory = await temporaryDirectory();
  const disk = fakeDisk();
  disk.room = 0;
  const received: unknown[] = [];
  await using it = await opened(directory.path, { io: disk.io, deliver: async (lines) => {
    if (lines.some((line) => idOf(line) === 3)) throw new RejectedRowsError('no');
    received.push(...lines.map(idOf));
  } });
  for (let at = 0; at < 8; at += 1) it.spool.append(row(at));
  await it.spool.flush(soon());
  expect(received).toEqual([0, 1, 2, 4, 5, 6, 7]);
  expect(rejectedText(directory.path)).toBe(`${row(3)}\n`);
});

test('a close asks the disk once more for what waits in memory; what it refuses then is lost and counted', async () => {
  await using directory = await temporaryDirectory();
  const disk = fakeDisk();
  const first = await opened(directory.path, { io: disk.io, away: () => true });
  first.spool.append(row('on disk'));
  disk.room = 0;
  first.spool.append(row('in memory'));
  disk.room = Infinity;
  await first.spool.close();
  expect(first.lost.disk).toBe(0);
  const second = await opened(directory.path, { io: disk.io, away: () => true });
  disk.room = 0;
  second.spool.append(row('gone'));
  second.spool.append(row('gone too'));
  await second.spool.close();
  expect(second.lost.disk).toBe(2);
  await using third = await opened(directory.path);
  await third.spool.flush(soon());
  expect(third.received.map(idOf)).toEqual(['on disk', 'in memory']);
});

test('no other user of the machine may read what a spool keeps', async () => {
  await using directory = await temporaryDirectory();
  await using it = await opened(directory.path, { away: () => true });
  it.spool.append(row(1));
  it.spool.note('note');
  expect(filesBelow(directory.path).map((path) => [basename(path), statSync(path).mode & 0o777]).sort()).toEqual([['00000001.jsonl', 0o600], ['own.note', 0o600], ['owner.json', 0o600]]);
});

test('rows of a folder that was deleted under the process still arrive, and new ones find a new folder', async () => {
  await using directory = await temporaryDirectory();
  let away = true;
  await using it = await opened(directory.path, { away: () => away, segmentBytes: 300 });
  // The first three fill a segment; the fourth opens the one that is deleted half full.
  for (let at = 0; at < 4; at += 1) expect(it.spool.append(row(at, 100))).toBe(true);
  rmSync(directory.path, { recursive: true });
  for (let at = 4; at < 9; at += 1) expect(it.spool.append(row(at, 100))).toBe(true);
  expect(filesBelow(directory.path).filter((path) => path.endsWith('.jsonl'))).not.toEqual([]);
  away = false;
  await it.spool.flush(soon());
  expect(it.received.map(idOf)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  expect(it.lost.disk).toBe(0);
});

test('a folder that cannot be made does not keep the process from starting: its rows wait in memory, and it is made when it can be', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'spool');
  writeFileSync(path, 'in the way');
  await using it = await opened(path);
  expect(it.spool.append(row(1))).toBe(true);
  await it.spool.flush(soon());
  expect(it.received).toEqual([row(1)]);
  rmSync(path);
  await eventually(() => {
    it.spool.append(row(2));
    expect(it.spool.backlog.bytes).toBeGreaterThan(0);
  });
  await it.spool.flush(soon());
  expect(new Set(it.received)).toEqual(new Set([row(1), row(2)]));
});

test('only the rows that the receiver refuses for good are set aside; those around them arrive', async () => {
  await using directory = await temporaryDirectory();
  const received: unknown[] = [];
  let failOnce = true;
  await using it = await opened(directory.path, {
    deliver: async (lines) => {
      const ids = lines.map(idOf);
      if (ids.length < 30 && failOnce) {
        failOnce = false;
        throw new Error('away in the middle of the search');
      }
      if (ids.includes(13) || ids.includes(77)) throw new RejectedRowsError('numbers that nobody likes');
      received.push(...ids);
    },
  });
  for (let at = 0; at < 100; at += 1) it.spool.append(row(at));
  await it.spool.flush(soon());
  expect(received).toEqual(Array.from({ length: 100 }, (_, at) => at).filter((at) => at !== 13 && at !== 77));
  expect(it.rejected).toHaveLength(2);
  expect(rejectedText(directory.path)).toBe(`${row(13)}\n${row(77)}\n`);
  expect(it.spool.backlog.rows).toBe(0);
});

test('a receiver that names the rows it refuses has taken the others: they do not come again', async () => {
  await using directory = await temporaryDirectory();
  const received: unknown[] = [];
  let calls = 0;
  await using it = await opened(directory.path, {
    deliver: async (lines) => {
      calls += 1;
      const bad = lines.filter((line) => idOf(line) === 13);
      received.push(...lines.filter((line) => !bad.includes(line)).map(idOf));
      if (bad.length > 0) throw Object.assign(new RejectedRowsError('no'), { lines: bad });
    },
  });
  for (let at = 0; at < 20; at += 1) it.spool.append(row(at));
  await it.spool.flush(soon());
  expect(calls).toBe(1);
  expect(received).toEqual(Array.from({ length: 20 }, (_, at) => at).filter((at) => at !== 13));
  expect(rejectedText(directory.path)).toBe(`${row(13)}\n`);
});

test('what is set aside is bounded: the oldest makes room', async () => {
  await using directory = await temporaryDirectory();
  await using it = await opened(directory.path, { maxBytes: 40_000, deliver: () => Promise.reject(new RejectedRowsError('no')) });
  for (let at = 0; at < 300; at += 1) {
    it.spool.append(row(at, 100));
    if (at % 50 === 0) await it.spool.flush(soon());
  }
  await it.spool.flush(soon());
  const text = rejectedText(directory.path);
  expect(text.length).toBeLessThanOrEqual(10_000);
  expect(text).toContain(row(299, 100));
  expect(it.rejected).toHaveLength(300);
});

test('a line that was cut off in the middle is set aside and never becomes part of another', async () => {
  await using directory = await temporaryDirectory();
  const first = await opened(directory.path, { away: () => true });
  first.spool.append(row('whole'));
  await first.spool.close();
  const segment = filesBelow(directory.path).find((path) => path.endsWith('.jsonl')) ?? '';
  appendFileSync(segment, '{"id":"to');
  // Set aside once, also when the one who did it ends before the rest is delivered.
  const second = await opened(directory.path, { away: () => true });
  expect(second.rejected).toHaveLength(1);
  await second.spool.close();
  await using third = await opened(directory.path);
  third.spool.append(row('next'));
  await third.spool.flush(soon());
  expect(third.received.map(idOf)).toEqual(['whole', 'next']);
  expect(rejectedText(directory.path)).toBe('{"id":"to\n');
  expect(third.rejected).toEqual([]);
});

test('the folder of a process that lives is left alone; once it is killed it is adopted, note and all, by one of many', async () => {
  await using directory = await temporaryDirectory();
  await using own = await opened(directory.path, { away: () => true });
  own.spool.append(row('own'));
  const child = spawn(process.execPath, ['--input-type=module', '-e', APPENDER, join(import.meta.dirname, 'index.ts'), directory.path, 'child'], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  child.kill('SIGSTOP');
  await using early = await opened(directory.path);
  await early.spool.flush(soon());
  expect(early.received).toEqual([]);
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
  const later = await Promise.all([opened(directory.path), opened(directory.path), opened(directory.path)]);
  await Promise.all(later.map(({ spool }) => spool.flush(soon())));
  const ids = later.flatMap(({ received }) => received.map(idOf));
  expect(ids.length).toBeGreaterThan(0);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).not.toContain('own');
  expect(later.flatMap(({ notes }) => notes)).toEqual(['last words of child']);
  await Promise.all(later.map(({ spool }) => spool.close()));
});

test('a folder of another start with the same process number is adopted, one of another container only after its heartbeat fell silent', async () => {
  await using directory = await temporaryDirectory();
  const first = await opened(directory.path, { away: () => true });
  first.spool.append(row('first'));
  const [folder] = readdirSync(directory.path);
  const copy = (name: string, owner: string): string => {
    const path = join(directory.path, name);
    cpSync(join(directory.path, folder ?? ''), path, { recursive: true });
    writeFileSync(join(path, 'owner.json'), owner);
    return path;
  };
  // The same number, another start time.
  copy(`${String(process.pid)}-1-abcdef`, readFileSync(join(directory.path, folder ?? '', 'owner.json'), 'utf8'));
  await using second = await opened(directory.path);
  await second.spool.flush(soon());
  expect(second.received.map(idOf)).toEqual(['first']);
  const elsewhere = copy('1-42-abcdef', JSON.stringify({ numberSpace: 'another boot pid:[1]', released: false }));
  mkdirSync(join(directory.path, 'not-a-folder-of-ours'));
  await using third = await opened(directory.path);
  expect(third.spool.backlog.rows).toBe(0);
  const longAgo = new Date(Date.now() - 60_000);
  utimesSync(join(elsewhere, 'owner.json'), longAgo, longAgo);
  await using fourth = await opened(directory.path);
  await fourth.spool.flush(soon());
  expect(fourth.received.map(idOf)).toEqual(['first']);
  await first.spool.close();
});

test('the note of a process that has delivered everything and closed is still there for the next', async () => {
  await using directory = await temporaryDirectory();
  const first = await opened(directory.path);
  first.spool.note('a long note to begin with');
  first.spool.note('short');
  await first.spool.close();
  await using second = await opened(directory.path);
  expect(second.notes).toEqual(['short']);
});

test('kill -9 of a process that appends, ten times while others deliver: no row it was promised is missing, repeats are the same rows', async () => {
  await using directory = await temporaryDirectory();
  let flaky = 0;
  await using parent = await opened(directory.path, { away: () => (flaky += 1) % 3 === 0 });
  const byId = new Map<unknown, string>();
  const promised: number[] = [];
  const take = (received: readonly string[]): void => {
    for (const line of received) {
      expect(byId.get(idOf(line)) ?? line).toBe(line);
      byId.set(idOf(line), line);
    }
  };
  for (let round = 0; round < 10; round += 1) {
    parent.spool.append(row(`parent-${String(round)}`));
    promised.push(await appendInChild(directory.path, `child${String(round)}`, 200 + round * 150));
    const adopter = await opened(directory.path, { away: () => (flaky += 1) % 4 === 0 });
    // Every other adopter dies of a close in the middle: what it had adopted goes to the next.
    if (round % 2 === 0) await adopter.spool.flush(soon());
    await adopter.spool.close();
    const next = await opened(directory.path);
    await next.spool.flush(soon());
    await next.spool.close();
    take([...adopter.received, ...next.received]);
  }
  await parent.spool.flush(soon());
  // The parent looks for what others left too, now and then: it may have been first.
  take(parent.received);
  for (const [round, last] of promised.entries()) {
    for (let at = 0; at <= last; at += 1) if (!byId.has(`child${String(round)}-${String(at)}`)) throw new Error(`row ${String(at)} of round ${String(round)} is missing, ${String(last)} was kept`);
  }
  for (let round = 0; round < 10; round += 1) expect(byId.has(`parent-${String(round)}`)).toBe(true);
});
