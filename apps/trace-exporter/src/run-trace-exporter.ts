import { runService, SettingsError, telemetrySettings } from '@pointsman/service';
import { startTelemetry } from '@pointsman/telemetry';
import { readTraceExporterSettings } from './settings.ts';
import { startTraceExporter } from './start-trace-exporter.ts';
import { version } from './version.ts';

const HELP = `trace-exporter receives OTLP over HTTP, makes training rows of the spans of routed requests and writes them to an object store.

  trace-exporter          runs until it is stopped
  trace-exporter --help   this text

Settings come from the environment: OTLP_PORT, OTLP_HOST, TRACES_BUCKET_URL (or OBJECT_STORE_URL, S3_BUCKET), S3_ENDPOINT, AWS_*, FLUSH_INTERVAL, JOIN_WINDOW, SPOOL_DIR,
SPOOL_MAX_BYTES, FORWARD_OTLP_ENDPOINT, FORWARD_OTLP_HEADERS, POD_NAME, HEALTH_PORT, LOG_LEVEL, OTEL_*. See docs/traces.md.
`;

/** The life of a trace-exporter process. Ends the process, except after `--help`. */
export async function runTraceExporter(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return;
  }
  await runService(async (signal, service) => {
    if (args.length > 0) throw new SettingsError(args.map((arg) => ({ variable: arg, problem: 'is no option of trace-exporter; see --help' })));
    const settings = readTraceExporterSettings(env);
    const telemetry = startTelemetry(telemetrySettings(settings.telemetry, { name: 'pointsman-trace-exporter', version }));
    service.useTelemetry(telemetry);
    const exporter = await startTraceExporter(settings, telemetry);
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await exporter.stop();
  }, { name: 'pointsman-trace-exporter', stopTimeoutMs: 28_000, flushTimeoutMs: 2_000 });
}
