/**
 * Unmodified nginx and haproxy learn clients' addresses by the PROXY protocol; a UDP server from the first datagram; a
 * receiver that needs no kernel module from UOA in both formats. On one lcore and on two.
 */
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AGENT, settled, SHORT_TIMEOUTS } from '../support/balanced.js';
import { Daemon } from '../support/daemon.js';
import { type Kept, until } from '../support/process.js';
import { startProxied } from '../support/servers/proxied.js';
import { ADDRESS, Topology } from '../support/topology.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const { vip, lip, rs1, client } = ADDRESS;
const FILE_BYTES = 3 * 1024 * 1024;
const BACKENDS = { nginx: 8081, haproxy: 8082 } as const;

/** Makes a service the only one. */
function serve(d: Daemon, flag: '-t' | '-u', port: number, to: number, options = ''): Promise<void> {
  const service = `${flag} ${vip}:${port}`;
  return d.rules(
    '-C',
    `-A ${service} -s rr ${options}`,
    `-a ${service} -r ${rs1}:${to} -b`,
    `-P ${service} -z ${lip} -F dpdk0`,
  );
}

async function start(lcores: 1 | 2, uoa: string): Promise<{ t: Topology; d: Daemon }> {
  const t = Topology.create('tap', lcores);
  try {
    const ipvs = SHORT_TIMEOUTS.replace('udp {', `udp {\n${uoa}`);
    const d = await Daemon.start(t, { lcores, ipvs });
    await d.ok('dpip', 'addr', 'add', `${vip}/24`, 'dev', 'dpdk0');
    return { t, d };
  } catch (error) {
    await t.remove();
    throw error;
  }
}

/** Keeps a server of a test until it has said that it is ready. */
async function ready(t: Topology, command: string[]): Promise<Kept> {
  const child = t.keep('rs1', command);
  await until(`${command.at(-2)} is ready`, () => child.stdout.includes('ready') || undefined);
  return child;
}

/** Sends datagrams from port 40000 of the client, one after the other. @returns the answers */
async function say(t: Topology, port: number, ...texts: string[]): Promise<string[]> {
  const script = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("${client}", 40000)); s.settimeout(5)
for text in sys.argv[1:]:
    s.sendto(text.encode(), ("${vip}", ${port})); print(s.recv(65535).decode("latin1"))`;
  const out = await t.succeed('client', ['python3', '-c', script, ...texts]);
  return out.trim().split('\n');
}

describe.each([1, 2] as const)('on %i lcore(s)', (lcores) => {
  let t: Topology;
  let d: Daemon;
  let logged: () => string;
  let sha = '';
  beforeAll(async () => {
    ({ t, d } = await start(lcores, 'uoa_max_trail 3'));
    const file = randomBytes(FILE_BYTES);
    sha = createHash('sha256').update(file).digest('hex');
    writeFileSync(join(t.dir, 'file'), file);
    logged = await startProxied(t, 'rs1', t.dir);
  });
  afterAll(() => t?.remove());

  const curl = (port: number, ...more: string[]): Promise<string> =>
    t.succeed('client', [
      'curl',
      '-sf',
      '--max-time',
      '10',
      '--local-port',
      '50000-60000',
      ...more,
      `http://${vip}:${port}/`,
    ]);

  describe.each(['v1', 'v2'] as const)('PROXY %s', (version) => {
    it.each(['nginx', 'haproxy'] as const)("%s sees and logs the client's address", async (server) => {
      await serve(d, '-t', 80, BACKENDS[server], `--proxy-protocol ${version}`);
      expect(await d.ok('ipvsadm', '-ln')).toContain(`TCP  ${vip}:80 rr pp${version}\n`);
      for (let i = 0; i < 20; i++)
        expect(await curl(80)).toMatch(new RegExp(`^${server} ${client}:5\\d{4}\n$`));
      if (server === 'haproxy') expect(logged()).toMatch(new RegExp(`^${client}:5\\d{4} GET / HTTP`, 'm'));
    });

    it("a client's own header is replaced; from one that is trusted it counts, also in the other version", async () => {
      for (const [option, seen] of [
        [version, client],
        [`${version}-insecure`, '9.8.7.6'],
      ] as const)
        for (const port of Object.values(BACKENDS)) {
          await serve(d, '-t', 80, port, `--proxy-protocol ${option}`);
          for (const header of [
            'PROXY TCP4 9.8.7.6 1.2.3.4 1111 80\\r\\n',
            '\\r\\n\\r\\n\\0\\r\\nQUIT\\n\\x21\\x11\\0\\x0c\\x09\\x08\\x07\\x06\\1\\2\\3\\4\\x04\\x57\\0\\x50',
          ]) {
            const script = `
import socket
s = socket.create_connection(("${vip}", 80), 5)
s.sendall(b"${header}GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
out = b""
while True:
    more = s.recv(65535)
    if not more: break
    out += more
print(out.decode())`;
            expect(await t.succeed('client', ['python3', '-c', script])).toMatch(
              new RegExp(`(nginx|haproxy) ${seen}:`),
            );
          }
        }
    });

    it('a first segment as large as the MTU, and one of a byte, arrive; so does the rest', async () => {
      await serve(d, '-t', 80, BACKENDS.nginx, `--proxy-protocol ${version}`);
      expect(await curl(80, '-H', `X: ${'x'.repeat(5000)}`)).toContain(`nginx ${client}:`);
      const script = `
import socket, time
s = socket.create_connection(("${vip}", 80), 5)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for b in b"GET / HTTP/1.0\\r\\n\\r\\n": s.sendall(bytes([b]))
print(s.recv(65535).decode())`;
      expect(await t.succeed('client', ['python3', '-c', script])).toContain(`nginx ${client}:`);
      const fetch = `curl -sf --max-time 30 http://${vip}/file | sha256sum`;
      expect(await t.succeed('client', ['sh', '-c', fetch])).toContain(sha);
    });
  });

  it('many connections at once, each with its own', async () => {
    await serve(d, '-t', 80, BACKENDS.haproxy, '--proxy-protocol v2');
    const script = `for i in $(seq 8); do (for j in $(seq 25); do curl -sf --max-time 10 http://${vip}/; done) & done; wait`;
    const lines = (await t.succeed('client', ['sh', '-c', script])).trim().split('\n');
    expect(lines.length).toBe(200);
    for (const line of lines) expect(line).toMatch(new RegExp(`^haproxy ${client}:\\d+$`));
  });

  it('UDP: the first datagram of a connection has a header of version 2', async () => {
    const log = await ready(t, ['node', here('../support/servers/udp-log.mjs'), '5353']);
    await serve(d, '-u', 53, 5353, '--proxy-protocol v2');
    await say(t, 53, 'one', 'two');
    const got = log.stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(' ')[1]!);
    const header = '0d0a0d0a000d0a515549540a2112000cc0a86403c0a864649c400035';
    expect(got).toEqual([header + Buffer.from('one').toString('hex'), Buffer.from('two').toString('hex')]);
    await log.stop();
  });

  it('nothing is lost', async () => {
    await settled(d);
    const drops = (await d.call('drop.list', {})).filter((x) => x.count > 0).map((x) => x.name);
    expect(drops).not.toContain('PROXY_HEADER');
  });
});

describe.each(['opp', 'ipo'] as const)('UOA, %s', (mode) => {
  let t: Topology;
  let d: Daemon;
  beforeAll(async () => {
    ({ t, d } = await start(1, `uoa_mode ${mode}\nuoa_max_trail 3`));
  });
  afterAll(() => t?.remove());

  it('a real server with tools/uoa-receiver answers from the first datagram on, and knows who asks', async () => {
    const socket = join(t.dir, 'uoa.sock');
    const receiver = await ready(t, [here('../../tools/uoa-receiver'), '--from', lip, '--lookup', socket]);
    await ready(t, ['node', here('../support/servers/udp-log.mjs'), '7']);
    await serve(d, '-u', 7, 7);
    const texts = ['a', 'b', 'c', 'd', 'e'];
    expect(await say(t, 7, ...texts)).toEqual(texts);
    const line = new RegExp(`^(${lip}:\\d+) > ${rs1}:7 is ${client}:40000$`, 'm');
    const local = (
      await until('the receiver has learnt it', () => line.exec(receiver.stdout) ?? undefined)
    )[1]!;
    const ask = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind("${socket}.me"); s.settimeout(5)
s.sendto(b"${local} ${rs1}:7", "${socket}"); print(s.recv(100).decode())`;
    expect((await t.succeed('rs1', ['python3', '-c', ask])).trim()).toBe(`${client}:40000`);
  });

  it('datagrams of every kind of size are echoed, fragments included', async () => {
    for (const [from, to] of [
      [0, 5],
      [1455, 1480],
      [3000, 3003],
    ] as const) {
      const args = [AGENT.udpSizes, vip, '7', String(from), String(to)];
      const r = JSON.parse(await t.succeed('client', ['node', ...args])) as object;
      expect(r).toMatchObject({ answered: to - from + 1, wrong: 0, unanswered: [] });
    }
    await settled(d);
  });
});
