import { afterAll } from 'vitest';
import { startPostgres } from '@pointsman/testing';
import { databaseConformance } from './database.conformance.ts';

const server = startPostgres();
afterAll(async () => (await server)[Symbol.asyncDispose]());

databaseConformance('PostgreSQL', async () => ({ url: await (await server).createDatabase(), close: async () => undefined }));
