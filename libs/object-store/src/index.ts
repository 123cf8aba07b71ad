export { ObjectStoreError } from './object-store.ts';
export type { DownloadOptions, ObjectHead, ObjectStore, ReadOptions, WriteOptions } from './object-store.ts';
