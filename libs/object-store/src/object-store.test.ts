import { join } from 'node:path';
import { startObjectStore, temporaryDirectory } from '@pointsman/testing';
import { openObjectStore } from './open-object-store.ts';
import { objectStoreConformance } from './object-store.conformance.ts';

objectStoreConformance('A folder', async () => {
  const directory = await temporaryDirectory();
  return {
    store: await openObjectStore(`file://${directory.path}`),
    nowhere: await openObjectStore(`file://${join(directory.path, 'nowhere')}`),
    versions: false,
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
});

for (const versions of [false, true]) {
  objectStoreConformance(`A bucket ${versions ? 'with versions and Object Lock' : 'without versions'}`, async () => {
    // Small pages and parts, so that few keys and bytes already need several.
    const server = await startObjectStore({ buckets: [{ name: 'objects', objectLock: versions }], pageSize: 3 });
    const { endpoint, accessKeyId, secretAccessKey } = server;
    const options = { endpoint, credentials: { accessKeyId, secretAccessKey }, partBytes: 5 << 20 };
    const store = await openObjectStore('s3://objects/some/prefix', options);
    const nowhere = await openObjectStore('s3://nowhere', options);
    return {
      store, nowhere, versions,
      [Symbol.asyncDispose]: async () => {
        store.close();
        nowhere.close();
        await server[Symbol.asyncDispose]();
      },
    };
  });
}
