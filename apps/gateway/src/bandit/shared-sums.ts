import { createHash, randomBytes } from 'node:crypto';
import type { CommandArgument, RedisConnection } from '@pointsman/redis';
import { ARM_BYTES, ArmSums, BANDIT_LAYOUT, type BanditLearner } from '@pointsman/routing/bandit';

/** A group that nobody routed for so long is forgotten. */
const KEEP_MS = 90 * 86_400_000;
/** How long a batch is known to have been counted, for a replica whose answer got lost. */
const SEQUENCE_KEEP_MS = 86_400_000;
/** Batches of ours that may have been lost with a server: those of the last exchanges. */
const MAX_LOG = 64;

/**
 * Adds one batch to the sums of a group and tells what changed: one script, one key (and the replica's number beside it, in the same slot), so that it counts
 * whole or not at all. A batch that was counted before (its answer got lost) is not counted again.
 * KEYS: sums, the replica's sequence. ARGV: sequence (0: nothing to add), half-life in ms, known epoch, known version, sums' ms to live, sequence's ms to live, then name, sums.
 * Answer: '' when there is nothing here; else epoch, version, version it was restored from, then name, sums of what changed.
 * Hash: e(poch), v(ersion), r(estored from), c:{name} the sums, u:{name} the version of their last change.
 */
const ADD_SCRIPT = `
local key, version = KEYS[1], tonumber(redis.call('HGET', KEYS[1], 'v') or '')
if not version then return {''} end
local epoch, sequence, half = redis.call('HGET', key, 'e'), tonumber(ARGV[1]), tonumber(ARGV[2])
if sequence > 0 and sequence > tonumber(redis.call('GET', KEYS[2]) or '0') then
  version = version + 1
  for index = 7, #ARGV, 2 do
    local name, sums = ARGV[index], ARGV[index + 1]
    local held = redis.call('HGET', key, 'c:' .. name)
    if held and #held == #sums then
      local heldAt, sumsAt = struct.unpack('<d', held, 1), struct.unpack('<d', sums, 1)
      local at = math.max(heldAt, sumsAt)
      local heldShare, sumsShare = 1, 1
      if half > 0 then heldShare, sumsShare = 2 ^ ((heldAt - at) / half), 2 ^ ((sumsAt - at) / half) end
      local out = {struct.pack('<d', at)}
      for place = 9, #sums, 8 do
        out[#out + 1] = struct.pack('<d', struct.unpack('<d', held, place) * heldShare + struct.unpack('<d', sums, place) * sumsShare)
      end
      sums = table.concat(out)
    end
    redis.call('HSET', key, 'c:' .. name, sums, 'u:' .. name, version)
  end
  redis.call('HSET', key, 'v', version)
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[6])
end
redis.call('PEXPIRE', key, ARGV[5])
local answer = {epoch, tostring(version), redis.call('HGET', key, 'r')}
local known = -1
if ARGV[3] == epoch then known = tonumber(ARGV[4]) end
if known == version then return answer end
local all = redis.call('HGETALL', key)
local changed = {}
for index = 1, #all, 2 do
  if string.sub(all[index], 1, 2) == 'u:' and tonumber(all[index + 1]) > known then changed[string.sub(all[index], 3)] = true end
end
for index = 1, #all, 2 do
  if string.sub(all[index], 1, 2) == 'c:' and changed[string.sub(all[index], 3)] then
    answer[#answer + 1] = string.sub(all[index], 3)
    answer[#answer + 1] = all[index + 1]
  end
end
return answer`;

/** Fills what is not there with what a replica knows; the first one counts. ARGV: epoch, version, ms to live, then name, sums. */
const RESTORE_SCRIPT = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'e', ARGV[1], 'v', ARGV[2], 'r', ARGV[2])
for index = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], 'c:' .. ARGV[index], ARGV[index + 1], 'u:' .. ARGV[index], ARGV[2]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`;

const shaOf = (script: string): string => createHash('sha1').update(script).digest('hex');
const SHAS = new Map([ADD_SCRIPT, RESTORE_SCRIPT].map((script) => [script, shaOf(script)]));

/**
 * The sums of one group, put together with those of the other replicas. Each replica delivers what it learned since the last time and hears what the group
 * knows then. What is not answered is sent again under the same number and counted once. A server that comes back empty gets what the first replica knows,
 * and from every other what it delivered after that: nothing is lost as long as somebody is left who knows it.
 */
export class SharedSums {
  readonly #connection: RedisConnection;
  readonly #learner: BanditLearner;
  readonly #keys: readonly [string, string];
  #sequence = 1;
  #epoch = '';
  #version = 0;
  /** Batches that were counted, by the version they made. */
  #log: { readonly version: number; readonly sums: ReadonlyMap<string, ArmSums> }[] = [];

  constructor({ connection, learner, group, replicaId }: { readonly connection: RedisConnection; readonly learner: BanditLearner; readonly group: string; readonly replicaId: string }) {
    this.#connection = connection;
    this.#learner = learner;
    // Group names come from a configuration and may hold braces: a digest is one hash tag whatever they hold.
    const tag = `pm:{bandit:${createHash('sha256').update(group).digest('base64url').slice(0, 22)}:${String(BANDIT_LAYOUT)}}`;
    this.#keys = [`${tag}:sums`, `${tag}:sequence:${replicaId}`];
  }

  /** How many changes of the shared sums this replica has heard of; an emptied server goes on counting from what it was filled with. */
  get version(): number {
    return this.#version;
  }

  /**
   * The learner begins with what was shared as of this version: a server that is found empty is filled with it under that number, so that the others deliver again what came
   * later, and only that. Before the first exchange.
   */
  startFrom(version: number): void {
    this.#version = version;
  }

  /** Delivers and hears, in one round trip. Whether the server had nothing is told, since a snapshot may know more. Rejects when Redis is away. */
  async exchange(): Promise<'exchanged' | 'was-empty'> {
    if (await this.#add()) return 'exchanged';
    const known = [...this.#learner.shared()].flatMap(([name, sums]) => (sums.count > 0 ? [name, sums.toBytes()] : []));
    await this.#run(RESTORE_SCRIPT, [this.#keys[0]], [randomBytes(9).toString('base64url'), String(this.#version), String(KEEP_MS), ...known]);
    await this.#add();
    return 'was-empty';
  }

  async #add(): Promise<boolean> {
    const learner = this.#learner;
    const batch = learner.beginDelivery();
    const words: CommandArgument[] = [batch.size === 0 ? '0' : String(this.#sequence), String(learner.halfLifeMs), this.#epoch, String(this.#version), String(KEEP_MS), String(SEQUENCE_KEEP_MS)];
    for (const [name, sums] of batch) words.push(name, sums.toBytes());
    const reply = await this.#run(ADD_SCRIPT, this.#keys, words);
    const [epoch, version, restoredFrom, ...changed] = Array.isArray(reply) ? reply.map((part: unknown) => (Buffer.isBuffer(part) ? part : Buffer.from(String(part)))) : [];
    if (epoch === undefined || epoch.length === 0 || version === undefined) return false;
    const sums = new Map<string, ArmSums>();
    for (let index = 0; index + 1 < changed.length; index += 2) {
      const read = changed[index + 1]?.length === ARM_BYTES ? ArmSums.fromBytes(changed[index + 1] as Buffer) : undefined;
      if (read !== undefined) sums.set(String(changed[index]), read);
    }
    const isOther = String(epoch) !== this.#epoch;
    const lost = isOther ? this.#log.filter((entry) => entry.version > Number(String(restoredFrom ?? '0'))) : [];
    if (isOther) this.#log = [];
    this.#epoch = String(epoch);
    this.#version = Number(String(version));
    learner.adopt(sums);
    if (batch.size > 0) {
      learner.delivered();
      this.#sequence += 1;
      this.#log.push({ version: this.#version, sums: batch });
      if (this.#log.length > MAX_LOG) this.#log.shift();
    }
    for (const entry of lost) learner.deliverAgain(entry.sums);
    return true;
  }

  async #run(script: string, keys: readonly string[], words: readonly CommandArgument[]): Promise<unknown> {
    const send = (name: string, first: string): Promise<unknown> => new Promise((resolve, reject) => {
      this.#connection.send(name, [first, String(keys.length), ...keys, ...words], { binary: true }, (error, reply) => {
        if (error === null) resolve(reply);
        else reject(error);
      });
    });
    try {
      return await send('evalsha', SHAS.get(script) ?? '');
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return send('eval', script);
      throw error;
    }
  }
}
