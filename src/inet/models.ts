/**
 * The control state of the device and IPv4 floors in one piece. The master has one and so has every lcore; the same
 * commands in the same order make them equal.
 */
import { DpvsError } from '../core/errors.js';
import { Devices } from '../netif/device.js';
import { Addresses } from './address.js';
import { Routes } from './route.js';
import { StaticNeighs } from './static-neigh.js';

type Handlers = Devices['handlers'] & Addresses['handlers'] & Routes['handlers'] & StaticNeighs['handlers'];

/** Commands of these floors. */
export type InetOp = keyof Handlers;
export type InetParams<O extends InetOp> = Parameters<Handlers[O]>[0];

export class InetModels {
  readonly devices = new Devices();
  readonly addresses: Addresses;
  readonly routes: Routes;
  readonly staticNeighs: StaticNeighs;
  private readonly handlers: Handlers;

  /** @param clock milliseconds, for the life of addresses */
  constructor(clock: () => number = () => 0) {
    this.addresses = new Addresses(this.devices, clock);
    this.routes = new Routes(this.devices, this.addresses);
    this.staticNeighs = new StaticNeighs(this.devices);
    this.handlers = {
      ...this.devices.handlers,
      ...this.addresses.handlers,
      ...this.routes.handlers,
      ...this.staticNeighs.handlers,
    };
  }

  /** Applies a command completely, or throws a DpvsError and changes nothing. */
  apply<O extends InetOp>(op: O, params: InetParams<O>): void {
    const handler = this.handlers[op] as ((p: InetParams<O>) => void) | undefined;
    if (handler === undefined) throw new DpvsError('NOTSUPP', `'${op}' is not a command of the IPv4 stack`);
    handler(params);
  }

  /** Commands that bring fresh models with the same devices into this state. */
  snapshot(): ({ op: InetOp } & Record<string, unknown>)[] {
    return [
      ...this.devices.snapshot(),
      ...this.addresses.snapshot(),
      ...this.routes.snapshot(),
      ...this.staticNeighs.snapshot(),
    ].map((command) => ({ ...command }));
  }
}
