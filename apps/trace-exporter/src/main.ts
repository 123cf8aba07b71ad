import { runTraceExporter } from './run-trace-exporter.ts';

await runTraceExporter(process.argv.slice(2), process.env);
