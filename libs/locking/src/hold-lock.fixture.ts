// A process that takes a lock, says so, and keeps it: to be frozen or killed. Says when it loses it, and gives it back on any line of input.
import { once } from 'node:events';
import { connectRedis } from '@pointsman/redis';
import { createLocalLock, createRedisLock } from './index.ts';

const [kind, place = '', name = '', ttlMs = '1000'] = process.argv.slice(2);
const connection = kind === 'redis' ? connectRedis({ url: place, commandTimeoutMs: 2_000 }) : undefined;
await connection?.whenReady();
const lock = connection === undefined ? createLocalLock({ directory: place, pauseMs: 20 }) : createRedisLock({ connection, pauseMs: 20 });
const held = await lock.acquire(name, { ttlMs: Number(ttlMs), waitMs: 10_000 });
if (held === undefined) throw new Error('somebody else holds it');
held.signal.addEventListener('abort', () => process.stdout.write('lost\n'));
process.stdout.write(`held ${held.fence}\n`);
await once(process.stdin, 'data');
await held.release();
await connection?.close();
process.stdin.destroy();
