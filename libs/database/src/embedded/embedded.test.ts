import { temporaryDirectory } from '@pointsman/testing';
import { databaseConformance } from '../database.conformance.ts';
import { openEmbeddedDatabase } from './open-embedded-database.ts';

databaseConformance('PGlite', async () => {
  const home = await temporaryDirectory();
  const opened = await openEmbeddedDatabase({ home: home.path, signal: new AbortController().signal });
  return {
    url: opened.url,
    close: async () => {
      await opened.close();
      await home[Symbol.asyncDispose]();
    },
  };
});
