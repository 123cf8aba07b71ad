import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { hashOfRow } from './audit-chain.ts';
import { AuditChain, auditRecordSchema, CHAIN_ACTIONS, verifyChains, type AuditRecord } from './index.ts';

const parse = (line: string): AuditRecord => auditRecordSchema.parse(JSON.parse(line));

function chainOf(rows: number, pod = 'gateway-0'): { chain: AuditChain; rows: AuditRecord[] } {
  const chain = new AuditChain({ pod, clock: new ManualClock(1_700_000_000_000) });
  const lines = Array.from({ length: rows }, (_, at) => chain.next({ actor: 'master', action: 'key.update', resource: `key:${String(at)}`, before: { spend: at, name: 'é' }, after: { spend: at + 0.1 }, requestId: `r${String(at)}` }));
  return { chain, rows: lines.map(parse) };
}

const kinds = async (rows: readonly unknown[]): Promise<string[]> => (await verifyChains(rows)).problems.map(({ seq, kind, rows: count }) => `${kind} ${String(seq)}${count === 1 ? '' : ` x${String(count)}`}`);
const without = (rows: readonly AuditRecord[], ...seqs: number[]): AuditRecord[] => rows.filter(({ seq }) => !seqs.includes(seq));

/** Makes the hash of a row again, as somebody would who changed it. */
function forged(row: AuditRecord, change: Partial<AuditRecord>): AuditRecord {
  const changed = { ...row, ...change };
  return { ...changed, hash: hashOfRow(changed) };
}

test('rows are numbered from 1, tied to the one before, and say who did what', () => {
  const { rows } = chainOf(2);
  expect(rows[0]).toMatchObject({ schema_version: 1, at: '2023-11-14T22:13:20.000Z', actor: 'master', resource: 'key:0', before: { spend: 0, name: 'é' }, request_id: 'r0', trace_id: null, ip: null, seq: 1, prev_hash: '0'.repeat(64) });
  expect(rows[1]).toMatchObject({ seq: 2, prev_hash: rows[0]?.hash });
  expect(rows[0]?.chain).toMatch(/^gateway-0\/[0-9a-f]{16}$/);
  expect(new Set(rows.map(({ id }) => id)).size).toBe(2);
});

test('whole chains have no problems, also when their rows are mixed, keys in any order, and one is still open', async () => {
  const a = chainOf(5);
  const b = chainOf(3, 'gateway-1');
  const closing = parse(a.chain.next({ actor: 'system:gateway', action: CHAIN_ACTIONS.closed, resource: 'audit', after: { rows: 6 } }));
  const mixed = [...a.rows, ...b.rows, closing].map((row) => Object.fromEntries(Object.entries(row).reverse()));
  const report = await verifyChains((async function* stream() {
    yield* mixed;
  })());
  expect(report).toMatchObject({ rows: 9, problems: [], problemCount: 0, chains: [{ rows: 6, lastSeq: 6, state: 'closed' }, { rows: 3, lastSeq: 3, state: 'open' }] });
});

test('a changed row is found, field by field', async () => {
  const { rows } = chainOf(4);
  for (const field of Object.keys(rows[1] ?? {}).filter((name) => !['chain', 'seq', 'hash', 'prev_hash'].includes(name))) {
    expect(await kinds(rows.map((row) => row.seq === 2 ? { ...row, [field]: 'something else' } : row)), field).toEqual(['edited 2']);
  }
  expect(await kinds(rows.map((row) => row.seq === 2 ? { ...row, added: 1 } : row))).toEqual(['edited 2']);
  expect(await kinds(rows.map((row) => row.seq === 2 ? 'nonsense' : row))).toEqual(['edited 0', 'missing 2']);
});

test('a row whose hash was made again is found by the row after it', async () => {
  const { rows } = chainOf(4);
  const changed = rows.map((row) => row.seq === 2 ? forged(row, { actor: 'somebody else' }) : row);
  expect(await kinds(changed)).toEqual(['edited 2']);
});

test('rows that are gone are found: one, several, the first', async () => {
  const { rows } = chainOf(9);
  expect(await kinds(without(rows, 3))).toEqual(['missing 3']);
  expect(await kinds(without(rows, 3, 4, 5, 8))).toEqual(['missing 3 x3', 'missing 8']);
  expect(await kinds(without(rows, 1))).toEqual(['missing 1']);
  // Numbering the rest anew does not help.
  const renumbered = without(rows, 3).map((row) => row.seq > 3 ? forged(row, { seq: row.seq - 1 }) : row);
  expect(await kinds(renumbered)).toContain('edited 2');
});

test('rows in another order and rows that come twice are found, and told apart from rows that are gone', async () => {
  const { rows } = chainOf(6);
  const [a, b, c, d, e, f] = rows;
  expect(await kinds([a, c, b, d, e, f])).toEqual(['reordered 2']);
  expect(await kinds([a, b, c, c, d, e, f])).toEqual(['duplicate 3']);
  expect(await kinds([a, d, b, e, f])).toEqual(['reordered 2', 'missing 3']);
});

test('the end of a chain that was cut off is found once the next process has named it', async () => {
  const first = chainOf(5);
  const second = new AuditChain({ pod: 'gateway-0', clock: new ManualClock() });
  const opened = parse(second.next({ actor: 'system:gateway', action: CHAIN_ACTIONS.opened, resource: 'audit', after: { previous: [first.chain.head] } }));
  expect(await kinds([...first.rows, opened])).toEqual([]);
  expect(await kinds([...without(first.rows, 4, 5), opened])).toEqual(['missing 4 x2']);
  expect(await kinds([opened])).toEqual(['missing 1 x5']);
  const forgedEnd = first.rows.map((row) => row.seq === 5 ? forged(row, { actor: 'x' }) : row);
  expect(await kinds([...forgedEnd, opened])).toEqual(['edited 5']);
});

test('a part of a log does not miss what came before it', async () => {
  const { rows } = chainOf(6);
  expect((await verifyChains(rows.slice(3), { partial: true })).problems).toEqual([]);
  expect((await verifyChains(without(rows.slice(2), 5), { partial: true })).problems).toMatchObject([{ kind: 'missing', seq: 5 }]);
});

test('a row that could not be kept leaves no gap', async () => {
  const { chain, rows } = chainOf(2);
  chain.next({ actor: 'a', action: 'lost', resource: 'x' });
  chain.takeBack();
  rows.push(parse(chain.next({ actor: 'a', action: 'kept', resource: 'x' })));
  expect(rows.map(({ seq }) => seq)).toEqual([1, 2, 3]);
  expect(await kinds(rows)).toEqual([]);
});

test('problems beyond the bound are counted, not kept', async () => {
  const { rows } = chainOf(300);
  const report = await verifyChains(rows.filter(({ seq }) => seq % 2 === 0), { maxProblems: 10 });
  expect(report.problems).toHaveLength(10);
  expect(report.problemCount).toBe(64);
});
