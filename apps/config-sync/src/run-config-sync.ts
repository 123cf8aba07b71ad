import { runService, SettingsError, telemetrySettings } from '@pointsman/service';
import { startTelemetry } from '@pointsman/telemetry';
import { readConfigSyncSettings } from './settings.ts';
import { publishOnce } from './publish-once.ts';
import { startConfigSync } from './start-config-sync.ts';
import { version } from './version.ts';

const HELP = `config-sync keeps CONFIG_DIR in step with the configuration in an object store and makes the gateway of its pod serve it.

  config-sync          runs until it is stopped
  config-sync --once   publishes a first valid configuration and exits 0, or 1 when there is none in time (init container)
  config-sync --help   this text

Settings come from the environment: OBJECT_STORE_URL (or S3_BUCKET), S3_ENDPOINT, AWS_*, S3_KEY, CONFIG_DIR, CONFIG_SYNC_INTERVAL,
RELOAD_SIGNAL or RELOAD_URL (with LITELLM_MASTER_KEY), RUN_DIR, REDIS_URL, POD_NAME, HEALTH_PORT, LOG_LEVEL, OTEL_*. See docs/config-sync.md.
`;

/** The life of a config-sync process. Ends the process, except after `--help`. */
export async function runConfigSync(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(HELP);
    return;
  }
  await runService(async (signal, service) => {
    const unknown = args.filter((arg) => arg !== '--once');
    if (unknown.length > 0) throw new SettingsError(unknown.map((arg) => ({ variable: arg, problem: 'is no option of config-sync; see --help' })));
    const settings = readConfigSyncSettings(env);
    const telemetry = startTelemetry(telemetrySettings(settings.telemetry, { name: 'pointsman-config-sync', version }));
    service.useTelemetry(telemetry);
    if (args.includes('--once')) {
      await publishOnce(settings, telemetry, signal);
      return;
    }
    const sync = await startConfigSync(settings, telemetry, signal);
    await sync.ended;
    await sync.close();
  }, { name: 'pointsman-config-sync', stopTimeoutMs: 10_000, flushTimeoutMs: 2_000 });
}
