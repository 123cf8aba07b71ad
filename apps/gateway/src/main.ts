import { setFlagsFromString } from 'node:v8';

// A reload asked for while the modules still load must not end the process; the gateway reads its configuration at start anyway.
process.on('SIGHUP', () => undefined);

// V8 runs a full collection whenever buffers have grown by a fixed 64 MB since the last one: at 36 KB a prompt that is every 1,700 requests, and
// marking the live heap was a quarter of their cost. With this flag buffers count towards the limit of the whole heap, which adapts.
setFlagsFromString('--external-memory-accounted-in-global-limit');

const { serveUntilStopped } = await import('./serve-until-stopped.ts');
await serveUntilStopped(process.env);
