/**
 * The device floor of one lcore: from a received frame to the handler of its ethertype, and from a finished
 * frame to a port. A virtual device (VLAN, bonding) registers itself for its ethertype and calls `deliver` with
 * its own device; transmit goes the other way.
 */
import { DROP } from '../core/drops.js';
import { PORT_CAP } from '../core/layout.js';
import { L2_BROADCAST, L2_HOST, L2_MULTICAST, L2_OTHER } from '../core/packet.js';
import type { Packets } from '../core/packet.js';
import * as ethernet from '../wire/ethernet.js';
import type { Device, Devices } from './device.js';

/** Takes ownership of a packet whose data starts behind the Ethernet header. */
export type EtherHandler = (p: number, dev: Device) => void;

export class Netif {
  /** Index into `handlers` by ethertype: one byte load instead of a Map. */
  private readonly handlerOf = new Uint8Array(65536);
  private readonly handlers: EtherHandler[] = [];
  /**
   * By DPDK port, two words: the first four and the last two bytes of its MAC address as they stand in a frame, in the byte
   * order of the machine; zeros where nothing is received.
   */
  readonly portMacs = new Int32Array(2 * PORT_CAP);
  /** Is shown every frame of a known flow first; sends it and returns true, or leaves it as it is. See src/ipvs/established.ts. */
  shortcut: ((p: number) => boolean) | undefined;

  constructor(
    readonly packets: Packets,
    readonly devices: Devices,
  ) {
    this.handlers.push((p) => this.packets.drop(p, DROP.ETH_UNKNOWN_TYPE));
    for (const dev of devices.list()) this.noteMac(dev);
    devices.onChange((dev) => this.noteMac(dev));
  }

  /** Registers the receiver of an ethertype. */
  handle(etherType: number, handler: EtherHandler): void {
    this.handlerOf[etherType] = this.handlers.push(handler) - 1;
  }

  /** Lets the native loop forward what arrives for our MAC addresses, now and after every change of a device. */
  offload(): void {
    const tell = (dev: Device): void => this.packets.offload(dev.portId, dev.up ? dev.macBytes : undefined);
    for (const dev of this.devices.list()) tell(dev);
    this.devices.onChange(tell);
  }

  /** A frame as it came from a port. Takes ownership. */
  receive(p: number): void {
    // Asked here and not there: a call that few invocations reach is not inlined, for good, and while flows open most have no hint.
    if (this.shortcut !== undefined && this.packets.hint(p) >= 0 && this.shortcut(p)) return;
    const dev = this.devices.byPort(this.packets.port(p));
    if (dev === undefined) this.packets.drop(p, DROP.PORT_DOWN);
    else this.deliver(p, dev);
  }

  /** A frame that starts with its Ethernet header, received on `dev`. Takes ownership. */
  deliver(p: number, dev: Device): void {
    const packets = this.packets;
    const b = packets.bytes;
    const off = packets.data(p);
    if (!dev.up) {
      packets.drop(p, DROP.PORT_DOWN);
      return;
    }
    if (!ethernet.check(b, off, packets.len(p))) {
      packets.drop(p, DROP.ETH_SHORT);
      return;
    }
    const dst = ethernet.dst(off);
    if (ethernet.isGroup(b, dst))
      packets.setL2Class(p, ethernet.isBroadcast(b, dst) ? L2_BROADCAST : L2_MULTICAST);
    else {
      const ours = ethernet.macHi(b, dst) === dev.macHi && ethernet.macLo(b, dst) === dev.macLo;
      packets.setL2Class(p, ours ? L2_HOST : L2_OTHER);
    }
    packets.setIfindex(p, dev.ifindex);
    const type = ethernet.etherType(b, off);
    packets.pullTo(p, off + ethernet.HEADER_LEN);
    this.handlers[this.handlerOf[type]!]!(p, dev);
  }

  /**
   * Puts the Ethernet header back that `deliver` stepped over; its bytes are still there. For whoever hands a
   * received packet on as a frame (`Packets.redirect`). Data must start where the handler was given it.
   */
  restoreHeader(p: number): void {
    this.packets.push(p, ethernet.HEADER_LEN);
  }

  /** Sends a frame that starts with its Ethernet header. Takes ownership. */
  transmit(p: number, dev: Device): void {
    if (dev.up) this.packets.transmit(p, dev.portId);
    else this.packets.drop(p, DROP.PORT_DOWN);
  }

  private noteMac(dev: Device): void {
    if (dev.portId >= PORT_CAP) return;
    const words = new Int32Array(2);
    if (dev.up) new Uint8Array(words.buffer).set(dev.macBytes);
    this.portMacs.set(words, 2 * dev.portId);
  }
}
