import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

// Preloaded by a test: writes down every module that the process loads, from the first on.
const file = process.env['MODULE_TRACE_FILE'];
if (file === undefined) throw new Error('MODULE_TRACE_FILE is not set.');
registerHooks({
  load(url, context, next) {
    appendFileSync(file, `${url}\n`);
    return next(url, context);
  },
});
