import { hash, timingSafeEqual } from 'node:crypto';
import type { Principal } from './principal.ts';

/** Where keys are looked up. An answer that is there already comes without a promise, so that the common request does not wait a turn. */
export interface KeyStore {
  /** Finds the principal of a key by its digest (SHA-256, 32 bytes); undefined when nobody has that key. */
  find(digest: Buffer): Principal | undefined | Promise<Principal | undefined>;
  /** Whether the store can tell other keys than the master key: the wording of a refusal depends on it. */
  readonly hasKeys: boolean;
}

/** SHA-256 of a key. Keys are long random strings, so an unsalted fast hash is enough and lets LiteLLM's tables be read as they are. */
export function digestKey(key: string): Buffer {
  // A digest that comes as a string costs a third of one that comes as a buffer of its own memory.
  return Buffer.from(hash('sha256', key, 'binary'), 'binary');
}

/** Knows the master key and nobody else. */
export class MasterKeyStore implements KeyStore {
  readonly hasKeys = false;
  readonly #digest: Buffer;
  readonly #principal: Principal;

  constructor(masterKey: string) {
    this.#digest = digestKey(masterKey);
    this.#principal = {
      keyHash: this.#digest.toString('hex'), keyAlias: 'master', role: 'admin',
      models: undefined, aliases: undefined, userId: 'default_user_id', teamId: undefined, tags: [], access: undefined,
    };
  }

  find(digest: Buffer): Principal | undefined {
    return timingSafeEqual(digest, this.#digest) ? this.#principal : undefined;
  }
}
