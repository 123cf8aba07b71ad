// A pod that shares its process namespace may be signalled as a whole; while the modules load, a reload must not end this process.
process.on('SIGHUP', () => undefined);

const { runConfigSync } = await import('./run-config-sync.ts');
await runConfigSync(process.argv.slice(2), process.env);
