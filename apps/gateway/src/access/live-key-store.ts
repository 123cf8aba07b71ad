import type { KeyStore } from './key-store.ts';
import type { Principal } from './principal.ts';

/** The key store that a reload may replace: a new master key counts from the next request on. */
export class LiveKeyStore implements KeyStore {
  #store: KeyStore;

  constructor(store: KeyStore) {
    this.#store = store;
  }

  replace(store: KeyStore): void {
    this.#store = store;
  }

  get hasKeys(): boolean {
    return this.#store.hasKeys;
  }

  find(digest: Buffer): Principal | undefined | Promise<Principal | undefined> {
    return this.#store.find(digest);
  }
}
