/** Lists on the packet path: who is refused, in which direction, and that established connections feel it at once. */
import { describe, expect, it } from 'vitest';
import { AccessLists, type AclCommand } from '../../../../src/ipvs/acl/lists.js';
import { Verdicts } from '../../../../src/ipvs/acl/verdicts.js';
import { VerdictWriter } from '../../../../src/ipvs/acl/writer.js';
import { type ServiceCommand, Services } from '../../../../src/ipvs/service.js';
import { parseIpv4 } from '../../../../src/wire/ipv4.js';
import { decode, tcp, udp } from '../../../support/frames.js';
import { CLIENT, endpoint, LIP, Rig, RS, RS2, VIP } from '../rig.js';

const svc = { proto: 'tcp', ...endpoint(VIP) } as const;
const client = endpoint(CLIENT).addr;
const other = CLIENT.replace(client, '10.0.0.77');

/** An lcore beside a master. */
class Daemon {
  readonly rig: Rig;
  readonly master = new Services();
  readonly lists: AccessLists;

  constructor(rig = new Rig()) {
    this.rig = rig;
    this.lists = new AccessLists(this.master, new VerdictWriter(new Verdicts(rig.shared.verdicts)));
    this.do({ op: 'svc.add', svc, scheduler: 'rr' });
    this.do({ op: 'dest.add', svc, dest: endpoint(RS), fwd: 'fullnat' });
    rig.addAddress(LIP);
    this.do({ op: 'laddr.add', svc, addr: LIP, dev: 'dpdk0' });
  }
  do(c: ServiceCommand): void {
    this.master.apply(c.op, c);
    this.rig.services.apply(c.op, c);
  }
  list(op: 'acl.add' | 'acl.del', list: 'black' | 'white', entry: string, of: AclCommand['svc'] = svc): void {
    const note = this.lists.apply({ op, list, entries: [entry], svc: of });
    if (note !== undefined) this.rig.services.apply('acl.note', note);
  }
  syn(from = CLIENT): Uint8Array[] {
    return this.rig.fromClient(tcp({ src: from, dst: VIP, flags: 'S', seq: 100 }));
  }
  /** @returns the local port */
  establish(from = CLIENT): number {
    const [syn] = this.syn(from);
    const lport = decode(syn!).tcp!.sport;
    this.rig.fromServer(tcp({ src: RS, dst: `${LIP}:${lport}`, flags: 'SA', seq: 500, ack: 101 }));
    this.data(from);
    return lport;
  }
  data(from = CLIENT): Uint8Array[] {
    return this.rig.fromClient(tcp({ src: from, dst: VIP, flags: 'PA', seq: 101, ack: 501, data: 'x' }));
  }
  answer(lport = 1025): Uint8Array[] {
    return this.rig.fromServer(
      tcp({ src: RS, dst: `${LIP}:${lport}`, flags: 'PA', seq: 501, ack: 102, data: 'y' }),
    );
  }
}

describe('black list of a service', () => {
  it('cuts an established connection in both directions at once, others go on, and it heals', () => {
    const d = new Daemon();
    d.establish();
    const lport = d.establish(other);
    d.list('acl.add', 'black', client);
    expect([d.data().length, d.answer().length]).toEqual([0, 0]);
    expect([d.data(other).length, d.answer(lport).length]).toEqual([1, 1]);
    expect(d.rig.drops).toEqual({ ACL_BLACKLIST: 2 });
    d.list('acl.del', 'black', client);
    expect([d.data().length, d.answer().length]).toEqual([1, 1]);
    expect(d.rig.imbalance).toBe(0);
  });

  it('opens no connection and uses no port for a client that is on it', () => {
    const d = new Daemon();
    d.list('acl.add', 'black', client);
    expect(d.syn()).toEqual([]);
    expect([d.rig.conns, d.rig.portsUsed]).toEqual([0, 0]);
    expect(d.syn(other)).toHaveLength(1);
  });

  it('holds for a real server that comes when there is a list already', () => {
    const d = new Daemon();
    d.list('acl.add', 'black', '10.0.0.66');
    d.do({ op: 'dest.del', svc, dest: endpoint(RS) });
    d.do({ op: 'dest.add', svc, dest: endpoint(RS2), fwd: 'fullnat' });
    expect(d.syn()).toHaveLength(1);
    d.list('acl.add', 'black', client);
    expect(d.data()).toEqual([]);
    expect([d.rig.drops, d.rig.svcDrops()]).toEqual([{ ACL_BLACKLIST: 1 }, { ACL_BLACKLIST: 1 }]);
  });

  it('is not asked about another service', () => {
    const d = new Daemon();
    const dns = { ...svc, proto: 'udp' as const };
    d.do({ op: 'svc.add', svc: dns, scheduler: 'rr' });
    d.do({ op: 'dest.add', svc: dns, dest: endpoint(RS), fwd: 'fullnat' });
    d.do({ op: 'laddr.add', svc: dns, addr: LIP, dev: 'dpdk0' });
    d.list('acl.add', 'black', client);
    expect(d.rig.fromClient(udp({ src: CLIENT, dst: VIP, data: 'x' }))).toHaveLength(1);
  });

  it('holds for connections of a real server that was removed, and ends with the service', () => {
    const d = new Daemon();
    d.establish();
    d.do({ op: 'dest.del', svc, dest: endpoint(RS) });
    d.list('acl.add', 'black', client);
    expect(d.data()).toEqual([]);
    d.do({ op: 'svc.del', svc });
    expect(d.data()).toHaveLength(1);
  });

  it('holds for a real server that comes later', () => {
    const d = new Daemon();
    d.list('acl.add', 'black', client);
    d.do({ op: 'dest.add', svc, dest: endpoint(RS2), fwd: 'fullnat' });
    expect(d.syn()).toEqual([]);
  });

  it('survives the restart of the lcore without being told', () => {
    const d = new Daemon();
    d.establish();
    d.list('acl.add', 'black', client);
    const { native, destStats, shared } = d.rig;
    const again = new Rig({ native, destStats, shared });
    again.addAddress(LIP);
    for (const c of d.master.snapshot()) again.services.apply(c.op, c);
    again.ipvs.rebuild();
    expect(
      again.fromClient(tcp({ src: CLIENT, dst: VIP, flags: 'PA', seq: 101, ack: 501, data: 'x' })),
    ).toEqual([]);
    expect(again.dropped('ACL_BLACKLIST')).toBe(1);
  });

  it.each(['nat', 'dr', 'tunnel'])('cuts clients of mode %s', (fwd) => {
    const d = new Daemon();
    d.do({ op: 'dest.del', svc, dest: endpoint(RS) });
    const port = fwd === 'nat' ? endpoint(RS2).port : svc.port;
    d.do({ op: 'dest.add', svc, dest: { addr: endpoint(RS2).addr, port }, fwd });
    expect(d.syn()).toHaveLength(1);
    d.list('acl.add', 'black', client);
    expect(d.syn()).toEqual([]);
    expect(d.rig.dropped('ACL_BLACKLIST')).toBe(1);
  });
});

describe('white list of a service', () => {
  it('shuts out, from its first entry on, whoever is not on it: also from established connections', () => {
    const d = new Daemon();
    d.establish();
    const lport = d.establish(other);
    d.list('acl.add', 'white', `${client}/32`);
    expect([d.data().length, d.answer().length]).toEqual([1, 1]);
    expect([d.data(other).length, d.answer(lport).length, d.syn(other).length]).toEqual([0, 0, 0]);
    expect(d.rig.drops).toEqual({ ACL_WHITELIST: 3 });
    d.list('acl.del', 'white', client);
    expect(d.data(other)).toHaveLength(1);
  });
});

describe('global lists', () => {
  it('refuse a source for whatever it sends', () => {
    const d = new Daemon();
    d.lists.apply({ op: 'acl.add', list: 'black', entries: [client] });
    const p = d.rig.packets.alloc();
    expect(d.rig.inet.refuses!(p, parseIpv4(client))).toBe(true);
    const q = d.rig.packets.alloc();
    expect(d.rig.inet.refuses!(q, parseIpv4(endpoint(other).addr))).toBe(false);
    d.rig.packets.drop(q, 0);
    expect(d.rig.dropped('ACL_BLACKLIST')).toBe(1);
  });

  it('keep answers from a client that is listed', () => {
    const d = new Daemon();
    d.establish();
    d.lists.apply({ op: 'acl.add', list: 'black', entries: [client] });
    expect(d.answer()).toEqual([]);
    d.lists.apply({ op: 'acl.add', list: 'white', entries: [`${client}/32`] });
    expect(d.answer()).toHaveLength(1);
  });
});
