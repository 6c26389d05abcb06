/**
 * One copy of the control state: devices, addresses, routes, static neighbours, services. The master has one
 * and so has every lcore; all apply the same commands in the same order with this code.
 */
import type { Command } from '../control/schema.js';
import { DpvsError } from '../core/errors.js';
import { InetModels } from '../inet/models.js';
import { Services, type ServiceOp } from '../ipvs/service.js';
import type { DeviceSpec } from '../netif/device.js';
import { parseIpv4 } from '../wire/ipv4.js';

type ServiceCommand = Extract<Command, { op: ServiceOp }>;
/** Of lists a replica knows only that there are some ('acl.note'). */
type InetCommand = Exclude<Command, ServiceCommand | { op: `acl.${string}` }>;
const isService = (c: Command): c is ServiceCommand => /^(svc|dest|laddr|timeout|acl)\./.test(c.op);

export class Replica {
  readonly inet: InetModels;
  readonly services: Services;

  /**
   * @param lcore whose copy this is; 0 = the master's
   * @param clock for the lifetime of addresses; only the master has one, and ends them by command
   */
  constructor(devices: DeviceSpec[], lcore = 0, clock?: () => number) {
    this.inet = new InetModels(clock);
    for (const d of devices) this.inet.devices.add(d);
    this.services = new Services(lcore, undefined, (dev) => this.inet.devices.require(dev).ifindex);
  }

  /**
   * Applies a command completely, or throws a DpvsError and changes nothing.
   * @param replay the command comes from a snapshot, where what a command implies stands on its own
   */
  apply(command: Command, replay = false): void {
    if (!isService(command)) {
      const { op } = command as InetCommand;
      this.inet.apply(op, command as InetCommand);
      return;
    }
    if (command.op === 'dest.add' && !replay && command.fwd !== 'snat') this.requireAway(command.dest.addr);
    this.services.apply(command.op, command);
    if (replay) return;
    // A local address lives on its device as well (`ipvsadm --add-laddr` is both).
    try {
      if (command.op === 'laddr.add') this.addToDevice(command);
      else if (command.op === 'laddr.del') this.removeFromDevice(command);
    } catch (e) {
      if (command.op === 'laddr.add') this.services.apply('laddr.del', command);
      throw e;
    }
  }

  /** The commands that make an empty replica (of the same devices) equal to this one. */
  snapshot(): Command[] {
    return [...this.inet.snapshot(), ...this.services.snapshot()] as Command[];
  }

  /** A real server on one of our own addresses could not be reached: nothing here serves anybody. */
  private requireAway(addr: string): void {
    const own = this.inet.addresses.ours(parseIpv4(addr));
    if (own === undefined) return;
    throw new DpvsError(
      'INVAL',
      `real server ${addr} is an address of dpvs itself (${this.inet.devices.nameOf(own.ifindex)})`,
      'name the address of another host; with DR and tunnel that host has the virtual address besides',
    );
  }

  private addToDevice({ addr, dev }: { addr: string; dev: string }): void {
    const { addresses, devices } = this.inet;
    const { ifindex } = devices.require(dev);
    const known = addresses.ours(parseIpv4(addr));
    if (known === undefined) {
      this.inet.apply('addr.add', { dev, addr, plen: 32, scope: 'global', validLft: 0, sapool: true });
    } else if (known.ifindex !== ifindex) {
      const where = devices.nameOf(known.ifindex);
      throw new DpvsError('NOTEXIST', `address ${addr} is on ${where}, not on ${dev}`, `use -F ${where}`);
    } else if (!known.sapool) {
      this.inet.apply('addr.set', { dev, addr, sapool: true });
    }
  }

  /** Takes the address off its device with the last service that used it. */
  private removeFromDevice({ addr, dev }: { addr: string; dev: string }): void {
    const { addresses, devices } = this.inet;
    const number = parseIpv4(addr);
    if (this.services.usesLaddr(number)) return;
    const known = addresses.find(devices.require(dev).ifindex, number);
    if (known?.sapool === true && known.plen === 32) this.inet.apply('addr.del', { dev, addr });
  }
}
