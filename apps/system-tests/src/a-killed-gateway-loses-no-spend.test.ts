import { eventually, startPostgres, temporaryDirectory } from '@pointsman/testing';
import { Agent, request } from 'undici';
import { expect, test } from 'vitest';
import { startBilledUpstream, USD_PER_TOKEN } from './billed-upstream.ts';
import { question, startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { createKey, untilDatabase } from './shared-state.ts';

const KILLS = 20;
/** Finished requests between two kills. */
const FINISHED_PER_LIFE = 25;

/** Keeps a gateway busy from several clients and notes every request whose reply arrived whole. */
function keepBusy(url: string, key: string, finished: string[], prefix: string): { readonly stop: () => Promise<void> } {
  const agent = new Agent({ connections: 12, pipelining: 1 });
  let isStopped = false;
  let count = 0;
  const clients = Array.from({ length: 12 }, async (_, client) => {
    while (!isStopped) {
      count += 1;
      const id = `${prefix}-${String(count)}`;
      const stream = client % 2 === 0;
      try {
        const reply = await request(`${url}/v1/chat/completions`, {
          method: 'POST', dispatcher: agent, body: JSON.stringify({ model: 'whole', stream, ...question }),
          headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, 'x-request-id': id },
        });
        const text = await reply.body.text();
        if (reply.statusCode === 200 && (!stream || text.trimEnd().endsWith('[DONE]'))) finished.push(id);
      } catch {
        // Killed in the middle of this one: it did not finish.
        isStopped = true;
      }
    }
  });
  return {
    async stop() {
      isStopped = true;
      await Promise.all(clients);
      await agent.close();
    },
  };
}

test('kill -9 under load, twenty times: every finished request is in the ledger, and none twice', async () => {
  await using postgres = await startPostgres();
  await using provider = await startBilledUpstream({ everyMs: 1 });
  await using home = await temporaryDirectory();
  const env = { DATABASE_URL: postgres.url, POINTSMAN_HOME: home.path };
  const config = { model_list: provider.modelList };
  const finished: string[] = [];
  let key: string | undefined;
  const start = async (): Promise<GatewayUnderTest> => {
    const gateway = await startGatewayUnderTest({ config, env });
    await untilDatabase(gateway);
    return gateway;
  };
  for (let life = 0; life < KILLS; life += 1) {
    await using gateway = await start();
    key ??= await createKey(gateway);
    const before = finished.length;
    const load = keepBusy(gateway.url, key, finished, `life-${String(life)}`);
    // Not at the same moment of a batch every time.
    await eventually(() => finished.length >= before + FINISHED_PER_LIFE + life * 7, { timeoutMs: 60_000 });
    gateway.signal('SIGKILL');
    await gateway.ended;
    await load.stop();
  }
  await using last = await start();
  await eventually(async () => {
    const rows = await postgres.sql('select request_id, count(*) from pointsman.spend_logs group by request_id');
    const times = new Map(rows.map(([id, count]) => [id, Number(count)]));
    expect(finished.filter((id) => times.get(id) !== 1)).toEqual([]);
    expect([...times].filter(([, count]) => count !== 1)).toEqual([]);
  }, { timeoutMs: 60_000 });
  expect(finished.length).toBeGreaterThan(KILLS * FINISHED_PER_LIFE);
  // The key was charged for every row of the ledger, and for no row twice.
  const [[ledger, charged] = []] = await postgres.sql('select (select sum(spend) from pointsman.spend_logs), (select sum(spend) from pointsman.virtual_keys)');
  expect(Number(charged)).toBeCloseTo(Number(ledger), 6);
  expect(Number(ledger)).toBeGreaterThanOrEqual(finished.length * 7 * USD_PER_TOKEN - 1e-6);
  expect((await last.stop('SIGTERM'))).toBe(0);
}, 300_000);
