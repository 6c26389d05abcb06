/**
 * Packets that are forwarded without a connection of their own. When the table is full, a hash of the client chooses the real server of
 * whatever comes to a service of direct routing or tunnel (`Chooser.hashed`); nothing has to be known for these modes, as answers go
 * another way. The client keeps its real server, and its connection gets a record as soon as there is room (decision 67).
 */
import { CONN4, DIR_IN } from '../core/layout.js';
import { D, Records } from './conn/records.js';
import type { Dest } from './service.js';
import type { XmitContext } from './xmit/xmit.js';

export class Unrecorded {
  /** As for connections, but for their records: there is one, of the packet that is being sent. */
  private readonly x: XmitContext;

  constructor(x: XmitContext) {
    this.x = { ...x, records: new Records(new SharedArrayBuffer(CONN4.size)) };
  }

  /** Forwards a client's packet, or an error about one of the real server's, to `dest`. Takes ownership; allocates nothing. */
  send(p: number, dest: Dest, caddr: number, cport: number, vaddr: number, vport: number): void {
    const { x } = this;
    const r = x.records;
    dest.xmit.setup(r, 0, dest.svc.proto, caddr, cport, vaddr, vport, caddr, cport, dest.addr, vport);
    // The way of the packet before.
    r.u16[(r.dir(0, DIR_IN) + D.adj) >>> 1] = 0;
    dest.xmit.send(x, p, 0, DIR_IN);
  }
}
