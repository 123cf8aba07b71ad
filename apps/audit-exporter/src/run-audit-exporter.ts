import { runService, SettingsError, telemetrySettings } from '@pointsman/service';
import { startTelemetry } from '@pointsman/telemetry';
import { exportOnce } from './export-once.ts';
import { readAuditExporterSettings } from './settings.ts';
import { startAuditExporter } from './start-audit-exporter.ts';
import { version } from './version.ts';

const HELP = `audit-exporter writes the audit log of the database to an object store, each row once, as JSONL with a manifest per day.

  audit-exporter          exports every AUDIT_EXPORT_INTERVAL until it is stopped
  audit-exporter --once   exports what there is and exits 0, or 1 when that does not succeed in time (CronJob)
  audit-exporter --help   this text

Settings come from the environment: AUDIT_BUCKET_URL (or OBJECT_STORE_URL, S3_BUCKET), S3_ENDPOINT, AWS_*, AUDIT_EXPORT_INTERVAL,
AUDIT_EXPORT_ONCE_TIMEOUT, AUDIT_RETENTION_DAYS, AUDIT_SSE, AUDIT_SIGNING_KEY, AUDIT_PART_ROWS, AUDIT_LOCK_TTL, DATABASE_URL or
POINTSMAN_HOME, REDIS_URL, POD_NAME, HEALTH_PORT, LOG_LEVEL, OTEL_*. See docs/audit.md.
`;

/** The life of an audit-exporter process. Ends the process, except after `--help`. */
export async function runAuditExporter(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return;
  }
  await runService(async (signal, service) => {
    const unknown = args.filter((arg) => arg !== '--once');
    if (unknown.length > 0) throw new SettingsError(unknown.map((arg) => ({ variable: arg, problem: 'is no option of audit-exporter; see --help' })));
    const settings = readAuditExporterSettings(env);
    const telemetry = startTelemetry(telemetrySettings(settings.telemetry, { name: 'pointsman-audit-exporter', version }));
    service.useTelemetry(telemetry);
    if (args.includes('--once')) {
      await exportOnce(settings, telemetry, signal);
      return;
    }
    const exporter = await startAuditExporter(settings, telemetry, signal);
    await exporter.ended;
    await exporter.close();
  }, { name: 'pointsman-audit-exporter', stopTimeoutMs: 10_000, flushTimeoutMs: 2_000 });
}
