import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { eventually, freePort, temporaryDirectory } from '@pointsman/testing';

export interface KubernetesReply {
  readonly status: number;
  readonly body: unknown;
}

export interface RunningKubernetes extends AsyncDisposable {
  /** For `kubectl`. */
  readonly kubeconfig: string;
  /** One question to the API server as an administrator. */
  call(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<KubernetesReply>;
}

/** How long a reconciler sleeps between two looks at an autoscaler. */
const AUTOSCALER_PERIOD = '2s';

/**
 * An API server with etcd, the controllers and the scheduler, all real, and nodes that kwok pretends: Deployments roll out, budgets refuse evictions, autoscalers scale;
 * no container runs. Everything listens on loopback.
 */
export async function startKubernetes({ nodes = 3 }: { readonly nodes?: number } = {}): Promise<RunningKubernetes> {
  const bin = process.env['KUBERNETES_BIN'];
  if (bin === undefined) throw new Error('KUBERNETES_BIN is not set: run this through `npm run test:real -- --only kubernetes`.');
  const directory = await temporaryDirectory();
  const home = directory.path;
  const children: { readonly name: string; readonly child: ChildProcess; words: string }[] = [];
  const start = (name: string, args: readonly string[]): void => {
    const child = spawn(join(bin, name), args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: home, env: { PATH: process.env['PATH'], HOME: home } });
    const entry = { name, child, words: '' };
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (entry.words = (entry.words + chunk).slice(-8_000)));
    children.push(entry);
  };
  const stop = async (): Promise<void> => {
    // Those who use the API server first, so that none of them spends its time on looking for it.
    for (const { child } of children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      const impatience = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await ended;
      clearTimeout(impatience);
    }
    await directory[Symbol.asyncDispose]();
  };
  const allAlive = (): void => {
    const ended = children.find(({ child }) => child.exitCode !== null || child.signalCode !== null);
    if (ended !== undefined) throw new Error(`${ended.name} ended: ${ended.words}`);
  };

  try {
    const [port, etcdPort, peerPort, kwokPort] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
    const [token, server] = [randomUUID(), `https://127.0.0.1:${String(port)}`];
    const [etcd, peer] = [`http://127.0.0.1:${String(etcdPort)}`, `http://127.0.0.1:${String(peerPort)}`];
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs1', format: 'pem' }, publicKeyEncoding: { type: 'pkcs1', format: 'pem' } });
    const [keyFile, tokens, kubeconfig] = [join(home, 'service-accounts.key'), join(home, 'tokens.csv'), join(home, 'kubeconfig')];
    await mkdir(join(home, 'certificates'));
    await writeFile(keyFile, privateKey, { mode: 0o600 });
    await writeFile(tokens, `${token},admin,admin,"system:masters"\n`, { mode: 0o600 });
    await writeFile(kubeconfig, JSON.stringify({
      apiVersion: 'v1', kind: 'Config', 'current-context': 'test',
      clusters: [{ name: 'test', cluster: { server, 'insecure-skip-tls-verify': true } }], users: [{ name: 'admin', user: { token } }], contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    }), { mode: 0o600 });

    start('etcd', ['--data-dir', join(home, 'etcd'), '--unsafe-no-fsync', '--log-level', 'error', '--listen-client-urls', etcd, '--advertise-client-urls', etcd,
      '--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`]);
    start('kube-apiserver', ['--etcd-servers', etcd, '--bind-address=127.0.0.1', `--secure-port=${String(port)}`, `--cert-dir=${join(home, 'certificates')}`, `--token-auth-file=${tokens}`,
      '--authorization-mode=RBAC', '--service-cluster-ip-range=10.0.0.0/24', '--service-account-issuer=https://kubernetes.default.svc', `--service-account-key-file=${keyFile}`,
      `--service-account-signing-key-file=${keyFile}`, '--endpoint-reconciler-type=none']);

    const agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
    const call: RunningKubernetes['call'] = (method, path, body) => new Promise((resolve, reject) => {
      const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
      const sent = request(`${server}${path}`, { method, agent, timeout: 20_000, headers: { authorization: `Bearer ${token}`, accept: 'application/json', ...(body === undefined ? {} : { 'content-type': type }) } }, (reply) => {
        let text = '';
        reply.setEncoding('utf8').on('data', (chunk: string) => (text += chunk)).on('end', () => {
          const isJson = String(reply.headers['content-type']).includes('json');
          resolve({ status: reply.statusCode ?? 0, body: isJson ? JSON.parse(text) as unknown : text });
        }).on('error', reject);
      });
      sent.on('error', reject).on('timeout', () => sent.destroy(new Error(`${method} ${path} was not answered in 20 s`)));
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
    await eventually(async () => {
      allAlive();
      const { status, body } = await call('GET', '/readyz');
      if (status !== 200) throw new Error(`the API server is not ready: ${String(body)}`);
    }, { timeoutMs: 60_000 });

    start('kube-controller-manager', [`--kubeconfig=${kubeconfig}`, '--node-monitor-grace-period=10m', `--service-account-private-key-file=${keyFile}`, '--leader-elect=false', '--secure-port=0',
      `--horizontal-pod-autoscaler-sync-period=${AUTOSCALER_PERIOD}`, '--horizontal-pod-autoscaler-initial-readiness-delay=1s', '--controllers=*,-nodeipam,-cloud-node-lifecycle,-service-lb-controller,-node-route-controller']);
    start('kube-scheduler', [`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--secure-port=0']);
    start('kwok', [`--kubeconfig=${kubeconfig}`, '--manage-all-nodes=true', '--cidr=10.244.0.0/16', '--node-ip=127.0.0.1', `--server-address=127.0.0.1:${String(kwokPort)}`]);
    const room = { cpu: '64', memory: '512Gi', pods: '200', 'ephemeral-storage': '1Ti' };
    for (let n = 1; n <= nodes; n += 1) {
      const name = `node-${String(n)}`;
      await call('POST', '/api/v1/nodes', {
        apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/arch': 'amd64', 'kubernetes.io/os': 'linux', 'topology.kubernetes.io/zone': `zone-${String(n)}` } },
        status: { allocatable: room, capacity: room },
      });
    }
    await eventually(async () => {
      allAlive();
      const { body } = await call('GET', '/api/v1/nodes');
      const ready = (body as { readonly items: readonly { readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] } }[] }).items
        .filter(({ status }) => status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') === true);
      if (ready.length < nodes) throw new Error(`${String(ready.length)} of ${String(nodes)} nodes are ready`);
    }, { timeoutMs: 60_000 });
    return {
      kubeconfig, call,
      [Symbol.asyncDispose]: async () => {
        agent.destroy();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
