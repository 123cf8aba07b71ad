// A pod that shares its process namespace may be signalled as a whole; a reload must not end this process.
process.on('SIGHUP', () => undefined);

const { runAuditExporter } = await import('./run-audit-exporter.ts');
await runAuditExporter(process.argv.slice(2), process.env);
