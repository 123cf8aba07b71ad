export { ObjectStoreError } from './object-store.ts';
export type { DownloadOptions, ObjectHead, ObjectStore, ReadOptions, UploadSource, WriteOptions } from './object-store.ts';
export { openObjectStore, parseObjectStoreUrl } from './open-object-store.ts';
export type { ObjectStoreCredentials, ObjectStorePlace, OpenObjectStoreOptions, ServerSideEncryption } from './open-object-store.ts';
