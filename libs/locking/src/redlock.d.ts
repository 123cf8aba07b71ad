/**
 * What is used of redlock 5. Its own types do not load: its `exports` name none, and they speak of an older ioredis, of which it calls only
 * `evalsha` and `eval`.
 */
declare module 'redlock' {
  export interface RedlockClient {
    evalsha(hash: string, keyCount: number, keysAndArguments: readonly (string | number)[]): Promise<unknown>;
    eval(script: string, keyCount: number, keysAndArguments: readonly (string | number)[]): Promise<unknown>;
  }
  export interface RedlockSettings {
    readonly driftFactor: number;
    readonly retryCount: number;
    readonly retryDelay: number;
    readonly retryJitter: number;
    readonly automaticExtensionThreshold: number;
  }
  export class ResourceLockedError extends Error {}
  export class ExecutionError extends Error {
    readonly attempts: readonly Promise<{ readonly votesAgainst: ReadonlyMap<RedlockClient, Error> }>[];
  }
  export class Lock {
    readonly value: string;
    extend(durationMs: number): Promise<Lock>;
    release(): Promise<unknown>;
  }
  export default class Redlock {
    constructor(clients: Iterable<RedlockClient>, settings?: Partial<RedlockSettings>);
    acquire(resources: readonly string[], durationMs: number): Promise<Lock>;
  }
}
