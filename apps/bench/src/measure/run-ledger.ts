import { setTimeout as sleep } from 'node:timers/promises';
import { connectDatabase } from '@pointsman/database';
import { startPostgres } from '@pointsman/testing';

/** How the spend ledger of one replica stands up to a steady stream of rows on a real PostgreSQL. */
export interface LedgerFigures {
  readonly keys: number;
  readonly rowsPerSecond: number;
  readonly seconds: number;
  readonly rows: number;
  /** Batches that were not taken before the next one was due. */
  readonly lateBatches: number;
  readonly batches: number;
  readonly batchP50Ms: number;
  readonly batchMaxMs: number;
  /** User and system time of this process, the one that hands the rows over; PostgreSQL's own is not in it. */
  readonly cpuMicrosPerRow: number;
  /** Whether ledger and keys agree at the end. */
  readonly exact: boolean;
}

const KEYS = 10_000;
const ROWS_PER_SECOND = 1_000;
const BATCH_EVERY_MS = 250;
const SECONDS = 20;
/** Exact in binary, so that sums can be compared to the last digit. */
const USD_PER_ROW = 1 / 1024;

function line(id: number, keyHashes: readonly string[]): string {
  const at = new Date().toISOString();
  return JSON.stringify({
    id: `bench.${String(id)}`, request_id: `request-${String(id)}`, trace_id: 'a'.repeat(32), call_type: 'chat', api_key: keyHashes[(id * 7_919) % keyHashes.length], user_id: null, team_id: null,
    end_user: null, requested_model: 'auto', model_group: 'auto', model: 'gpt-4o-mini', model_id: 'deployment-1', provider: 'openai', spend: USD_PER_ROW, prompt_tokens: 100, completion_tokens: 50,
    total_tokens: 150, cached_tokens: 0, reasoning_tokens: 0, usage_estimated: false, cache_hit: false, stream: true, status: 'success', error_code: null, tags: [],
    start_time: at, completion_start_time: at, end_time: at,
  });
}

/** Makes 10,000 keys, then hands over 1,000 rows a second in batches as the gateway's spool does. */
export async function runLedger(say: (text: string) => void): Promise<LedgerFigures> {
  await using postgres = await startPostgres();
  const database = connectDatabase({ url: postgres.url, applicationName: 'bench', queryTimeoutMs: 20_000 });
  try {
    await database.migrate(AbortSignal.timeout(30_000));
    say(`ledger: making ${KEYS.toLocaleString('en')} keys`);
    await postgres.sql(`insert into pointsman.virtual_keys (token, key_name, created_at, updated_at) select encode(sha256(('sk-bench-' || n)::bytea), 'hex'), 'sk-...', now(), now() from generate_series(1, ${String(KEYS)}) n`);
    const keyHashes = (await postgres.sql('select token from pointsman.virtual_keys')).map(([token = '']) => token);
    const rowsPerBatch = (ROWS_PER_SECOND * BATCH_EVERY_MS) / 1_000;
    const batches = (SECONDS * 1_000) / BATCH_EVERY_MS;
    const tookMs: number[] = [];
    let made = 0;
    let cpuMicros = 0;
    say(`ledger: ${ROWS_PER_SECOND.toLocaleString('en')} rows a second for ${String(SECONDS)} s`);
    const startedAt = performance.now();
    for (let batch = 0; batch < batches; batch += 1) {
      // The rows are lines in a file when a gateway hands them over: making them is not what is measured.
      const lines = Array.from({ length: rowsPerBatch }, () => line((made += 1), keyHashes));
      await sleep(Math.max(0, startedAt + batch * BATCH_EVERY_MS - performance.now()));
      const [sentAt, cpu] = [performance.now(), process.cpuUsage()];
      await database.spend.record(lines, AbortSignal.timeout(20_000));
      tookMs.push(performance.now() - sentAt);
      const used = process.cpuUsage(cpu);
      cpuMicros += used.user + used.system;
    }
    const [[ledger, charged, rows] = []] = await postgres.sql('select (select sum(spend) from pointsman.spend_logs), (select sum(spend) from pointsman.virtual_keys), (select count(*) from pointsman.spend_logs)');
    const sorted = tookMs.toSorted((a, b) => a - b);
    return {
      keys: KEYS, rowsPerSecond: ROWS_PER_SECOND, seconds: SECONDS, rows: made, batches, lateBatches: tookMs.filter((ms) => ms > BATCH_EVERY_MS).length,
      batchP50Ms: sorted[Math.floor(sorted.length / 2)] ?? 0, batchMaxMs: sorted.at(-1) ?? 0, cpuMicrosPerRow: cpuMicros / made,
      exact: Number(ledger) === made * USD_PER_ROW && Number(charged) === made * USD_PER_ROW && Number(rows) === made,
    };
  } finally {
    await database.close();
  }
}
