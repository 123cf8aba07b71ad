import { readdirSync } from 'node:fs';
import { AuditChain, auditRecordSchema, verifyChains, type AuditRecord } from '@pointsman/audit';
import { temporaryDirectory } from '@pointsman/testing';
import { ManualClock } from '@pointsman/timing';
import { expect, test } from 'vitest';
import { createAuditLog, openAuditLog, type AuditLog } from './audit-log.ts';

const HASH = 'c'.repeat(64);

function logged(options: { readonly full?: () => boolean; readonly notes?: readonly string[] } = {}): { log: AuditLog; rows: AuditRecord[]; outcomes: string[]; clock: ManualClock; notes: string[] } {
  const rows: AuditRecord[] = [];
  const outcomes: string[] = [];
  const notes: string[] = [];
  const clock = new ManualClock(1_700_000_000_000);
  const append = (line: string): boolean => {
    if (options.full?.() === true) return false;
    rows.push(auditRecordSchema.parse(JSON.parse(line)));
    return true;
  };
  const log = createAuditLog({
    spool: { append, note: (text) => notes.push(text) }, chain: new AuditChain({ pod: 'gateway-0', clock }), clock,
    onRow: (outcome) => outcomes.push(outcome), deniedRowsPerMinute: 5, ...(options.notes === undefined ? {} : { notes: options.notes }),
  });
  return { log, rows, outcomes, clock, notes };
}

test('an action is a row that says who did what to what, with the request it came in and without a secret', async () => {
  const { log, rows, notes } = logged();
  log.record({
    actor: 'master', action: 'key.update', resource: `key:${HASH}`, requestId: 'req-1', traceId: 'trace-1', ip: '10.0.0.7',
    before: { models: [], metadata: { note: 'old' } }, after: { models: ['gpt-4o'], key: 'sk-1234567890', token: HASH, expires: new Date(0) },
  });
  log.close();
  expect(rows.map(({ action }) => action)).toEqual(['audit.opened', 'key.update', 'audit.closed']);
  expect(rows[1]).toMatchObject({
    actor: 'master', resource: `key:${HASH}`, request_id: 'req-1', trace_id: 'trace-1', ip: '10.0.0.7',
    before: { models: [], metadata: { note: 'old' } }, after: { models: ['gpt-4o'], key: '[redacted]', token: HASH, expires: '1970-01-01T00:00:00.000Z' },
  });
  expect(rows[2]?.after).toEqual({ rows: 3 });
  expect(await verifyChains(rows)).toMatchObject({ problems: [], chains: [{ rows: 3, state: 'closed' }] });
  expect(JSON.parse(notes.at(-1) ?? '')).toEqual({ chain: rows[2]?.chain, seq: 3, hash: rows[2]?.hash });
});

test('a row that the disk refuses is counted and leaves no gap; nothing throws', async () => {
  let full = false;
  const { log, rows, outcomes } = logged({ full: () => full });
  full = true;
  log.record({ actor: 'master', action: 'key.create', resource: 'key:1' });
  log.denied({ actor: 'anonymous', resource: 'key:x', reason: 'unknown_key' });
  full = false;
  log.record({ actor: 'master', action: 'key.create', resource: 'key:2', after: { get bad(): string {
    throw new Error('no');
  } } });
  log.record({ actor: 'master', action: 'key.create', resource: 'key:3' });
  log.close();
  log.close();
  log.record({ actor: 'master', action: 'key.create', resource: 'key:4' });
  expect(outcomes).toEqual(['kept', 'dropped', 'dropped', 'dropped', 'kept', 'kept', 'dropped']);
  expect(rows.map(({ resource }) => resource)).toEqual(['audit', 'key:3', 'audit']);
  expect((await verifyChains(rows)).problems).toEqual([]);
});

test('a flood of wrong keys is a handful of rows and one sum', async () => {
  const { log, rows, clock } = logged();
  for (let at = 0; at < 10_000; at += 1) log.denied({ actor: 'anonymous', resource: `key:${String(at)}`, reason: 'unknown_key', ip: '10.0.0.1', requestId: `r${String(at)}` });
  clock.advance(60_000);
  log.denied({ actor: 'anonymous', resource: 'key:0', reason: 'unknown_key', ip: '10.0.0.1' });
  const denied = rows.filter(({ action }) => action === 'access.denied');
  expect(denied).toHaveLength(7);
  expect(denied[0]).toMatchObject({ actor: 'anonymous', resource: 'key:0', after: { reason: 'unknown_key' }, ip: '10.0.0.1', request_id: 'r0' });
  expect(denied[5]).toMatchObject({ actor: 'system:gateway', resource: 'access', after: { count: 9_995, reasons: { unknown_key: 9_995 } } });
  expect((await verifyChains(rows)).problems).toEqual([]);
});

test('what was summed up is told before the last row', () => {
  const { log, rows } = logged();
  for (let at = 0; at < 3; at += 1) log.denied({ actor: 'key:a', resource: 'model:x', reason: 'model_denied' });
  log.close();
  expect(rows.map(({ action, after }) => [action, after])).toEqual([
    ['audit.opened', { previous: [] }], ['access.denied', { reason: 'model_denied' }],
    ['access.denied', { count: 2, reasons: { model_denied: 2 }, minute: '2023-11-14T22:13:00.000Z' }], ['audit.closed', { rows: 4 }],
  ]);
});

test('the next process names the end of the chain before it, so that rows cut from that end are missed', async () => {
  await using directory = await temporaryDirectory();
  const rows: AuditRecord[] = [];
  const open = (): ReturnType<typeof openAuditLog> => openAuditLog({
    pod: 'gateway-0', clock: new ManualClock(),
    spool: { directory: directory.path, maxBytes: 1_000_000, batchMs: 1, deliver: (lines) => {
      rows.push(...lines.map((line) => auditRecordSchema.parse(JSON.parse(line))));
      return Promise.resolve();
    } },
  });
  for (const name of ['first', 'second']) {
    const { log, spool } = await open();
    log.record({ actor: 'master', action: 'key.create', resource: name });
    // The first one is killed: no last row.
    if (name === 'second') log.close();
    await spool.flush(AbortSignal.timeout(20_000));
    await spool.close();
  }
  expect(await verifyChains(rows)).toMatchObject({ problems: [], chains: [{ rows: 2, state: 'open' }, { rows: 3, state: 'closed' }] });
  expect((await verifyChains(rows.filter(({ resource }) => resource !== 'first'))).problems).toMatchObject([{ kind: 'missing', seq: 2, chain: rows[0]?.chain }]);
  expect(readdirSync(directory.path)).toHaveLength(1);
});

test('notes that are no chain heads are left out, and one that comes later is a row', () => {
  const head = { chain: 'gateway-0/1', seq: 5, hash: HASH };
  const { log, rows } = logged({ notes: ['nonsense', '{}', JSON.stringify(head)] });
  log.inherit('nonsense');
  log.inherit(JSON.stringify({ ...head, seq: 6 }));
  expect(rows.map(({ action, after }) => [action, after])).toEqual([['audit.opened', { previous: [head] }], ['audit.inherited', { previous: [{ ...head, seq: 6 }] }]]);
});
