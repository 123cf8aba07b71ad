import { connect } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { startPostgres } from './start-postgres.ts';

test('a real PostgreSQL answers on a port of its own, keeps what was committed over SIGKILL, and every database starts empty', async () => {
  await using postgres = await startPostgres({ settings: { work_mem: '8MB' } });
  expect(await postgres.sql('SHOW work_mem')).toEqual([['8MB']]);
  await postgres.sql(`CREATE TABLE kept (id int, name text); INSERT INTO kept VALUES (1, 'a|b'), (2, NULL)`);
  await postgres.kill();
  await expect(postgres.sql('SELECT 1')).rejects.toThrow(/refused/);
  await postgres.restart();
  expect(await postgres.sql('SELECT id, name FROM kept ORDER BY id')).toEqual([['1', 'a|b'], ['2', '']]);

  const other = await postgres.createDatabase();
  expect(await postgres.sql(`SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`, other)).toEqual([['0']]);
  await expect(postgres.sql('SELECT nonsense')).rejects.toThrow(/nonsense/);
});

test('frozen, it takes connections and says nothing; thawed, it answers what was asked meanwhile', async () => {
  await using postgres = await startPostgres();
  postgres.freeze();
  const socket = connect(postgres.port, '127.0.0.1');
  await once(socket, 'connect');
  let answered = false;
  const answer = postgres.sql('SELECT 7').finally(() => { answered = true; });
  // SSLRequest: a server that runs says N at once.
  socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
  let heard = '';
  socket.on('data', (chunk) => { heard += chunk.toString(); });
  await expect(once(socket, 'data', { signal: AbortSignal.timeout(300) })).rejects.toThrow();
  expect(answered).toBe(false);
  expect(heard).toBe('');
  postgres.thaw();
  expect(await answer).toEqual([['7']]);
  socket.destroy();
});
