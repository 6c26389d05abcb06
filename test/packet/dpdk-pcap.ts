/** What a `Lab` stands on when its frames come from capture files and go to capture files: net_pcap ports. */
import { native, startPort } from '../native/support/rig.js';
import type { LabNative } from '../support/lab.js';
import { DpdkLcore } from './dpdk-lab.js';

export interface PcapFiles {
  /** Read once, from its beginning. */
  rx: string;
  /** Made new; complete when the port is closed. */
  tx: string;
}

export class DpdkPcap extends DpdkLcore implements LabNative {
  /** Nothing is received before: the scene is still being set up. */
  listening = false;
  private more = 0;

  constructor(
    files: readonly PcapFiles[],
    private readonly o: {
      /** Virtual milliseconds that pass with each poll. */
      msPerPoll?: number;
      /** Packets of one poll. */
      burst?: number;
      conns?: number;
    } = {},
  ) {
    const ports = files.map((f, i) => startPort(`net_pcap${i},rx_pcap=${f.rx},tx_pcap=${f.tx}`));
    if (ports.some((port, i) => port !== i)) throw new Error(`ports are ${ports.join(', ')}, not 0, 1, …`);
    const queues = ports.map((port) => ({ port, queue: 0 }));
    super({ rxQueues: queues, txQueues: queues }, o.conns);
  }

  override poll(id: number, budget: number): number {
    if (!this.listening) {
      this.setClock();
      return 0;
    }
    this.nowMs += this.o.msPerPoll ?? 0;
    const n = super.poll(id, Math.min(budget, this.o.burst ?? budget));
    this.more = this.received;
    return n;
  }

  /** A file may have more as long as it has given something. */
  get pending(): number {
    return this.more;
  }

  inject(port: number): void {
    throw new Error(`port ${port} reads a file`);
  }
  sent(port: number): Uint8Array[] {
    throw new Error(`port ${port} writes a file`);
  }

  /** Frames that the driver could not write, over all ports. */
  get lost(): number {
    return native.ports().reduce((n, port) => n + native.portStats(port).oerrors, 0);
  }
}
