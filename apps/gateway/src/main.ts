// A reload asked for while the modules still load must not end the process; the gateway reads its configuration at start anyway.
process.on('SIGHUP', () => undefined);

const { serveUntilStopped } = await import('./serve-until-stopped.ts');
await serveUntilStopped(process.env);
