/**
 * The ground that the tests stand on: what this machine must offer, and removal of what a killed run left. Names carry the
 * pid of the run that made them (`dpvst-PID-…`); what belongs to a living process is never touched.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Prefix of every namespace, folder and hugepage file that tests make. */
export const PREFIX = 'dpvst-';
const OURS = /^dpvst-(\d+)-/;

const alive = (pid) => existsSync(`/proc/${pid}`);
const abandoned = (name) => {
  const pid = OURS.exec(name)?.[1];
  return pid !== undefined && !alive(pid);
};

const list = (folder) => {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
};

/** Ends what runs inside a namespace of ours, then removes it. */
export function removeNamespace(name) {
  const { stdout } = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
  const pids = (stdout ?? '').split('\n').filter(Boolean).map(Number);
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // ended meanwhile
    }
  }
  spawnSync('ip', ['netns', 'del', name]);
}

/** Folders of hugepage files. */
export function hugepageFolders() {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter((words) => words[2] === 'hugetlbfs')
    .map((words) => words[1]);
}

/** Removes what earlier runs left because they were killed. */
export async function sweep(say = () => {}) {
  for (const ns of list('/run/netns').filter(abandoned)) {
    say(`removing namespace ${ns} of a killed run`);
    removeNamespace(ns);
  }
  for (const folder of [tmpdir(), '/dev/shm', '/run', '/var/run/dpdk', ...hugepageFolders()]) {
    for (const name of list(folder).filter(abandoned)) {
      say(`removing ${join(folder, name)} of a killed run`);
      rmSync(join(folder, name), { recursive: true, force: true });
    }
  }
}

/** What the kernel and the machine lack for the layers that use devices. Empty = nothing. */
export function missingFeatures() {
  const missing = [];
  if (process.getuid() !== 0)
    return ['root: DPDK ports and network namespaces need it (run npm test as root)'];
  const name = `${PREFIX}${process.pid}-probe`;
  const ip = (...args) => {
    try {
      execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
      return true;
    } catch {
      return false;
    }
  };
  if (!ip('netns', 'add', name)) return ['network namespaces (CONFIG_NET_NS; in a container: CAP_SYS_ADMIN)'];
  try {
    if (!ip('-n', name, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1'))
      missing.push('veth (CONFIG_VETH)');
    if (!ip('-n', name, 'link', 'add', 'br0', 'type', 'bridge')) missing.push('bridges (CONFIG_BRIDGE)');
    if (!ip('-n', name, 'tuntap', 'add', 'dev', 't0', 'mode', 'tap', 'multi_queue')) {
      missing.push('tap devices (CONFIG_TUN and /dev/net/tun)');
    }
    const socket = (family) =>
      spawnSync('python3', ['-c', `import socket; socket.socket(${family}, socket.SOCK_RAW, 0)`]).status ===
      0;
    if (!socket(17)) missing.push('packet sockets (CONFIG_PACKET)');
    if (!socket(44)) missing.push('AF_XDP sockets (CONFIG_XDP_SOCKETS)');
  } finally {
    removeNamespace(name);
  }
  return missing;
}
