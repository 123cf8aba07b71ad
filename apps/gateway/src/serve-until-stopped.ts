import { runService } from '@pointsman/service';
import { readGatewaySettings } from './settings.ts';
import { startGateway } from './start-gateway.ts';

/** The life of a gateway process: settings, start, serve, drain, close. Never returns: the process ends with the exit code. */
export function serveUntilStopped(env: Readonly<Record<string, string | undefined>>): Promise<never> {
  return runService(async (signal, service) => {
    const gateway = await startGateway(readGatewaySettings(env));
    service.useTelemetry(gateway.telemetry);
    service.onReload(() => gateway.reload('SIGHUP'));
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    await gateway.drain();
    await gateway.close();
  }, { name: 'pointsman-gateway', flushTimeoutMs: 2_000 });
}
