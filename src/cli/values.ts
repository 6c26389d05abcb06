/** Parsers of the values on a command line. Each throws UsageError naming the value. */
import { isIP } from 'node:net';
import { notYet, UsageError } from './errors.js';

/** A host address. IPv6 is recognised and refused. */
export function ipv4(text: string): string {
  switch (isIP(text)) {
    case 4:
      return text;
    case 6:
      throw notYet(`IPv6 (${text})`);
    default:
      throw new UsageError(`'${text}' is not an IPv4 address`);
  }
}

export interface Prefix {
  addr: string;
  /** Absent when not given. */
  plen?: number;
}

/** `ADDR` or `ADDR/PLEN`. */
export function prefix(text: string): Prefix {
  const slash = text.indexOf('/');
  if (slash < 0) return { addr: ipv4(text) };
  const addr = ipv4(text.slice(0, slash));
  const plen = text.slice(slash + 1);
  if (!/^\d{1,2}$/.test(plen) || Number(plen) > 32) {
    throw new UsageError(`'${plen}' is not a prefix length (0 to 32) in '${text}'`);
  }
  return { addr, plen: Number(plen) };
}

export function mac(text: string): string {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) {
    throw new UsageError(`'${text}' is not a MAC address (aa:bb:cc:dd:ee:ff)`);
  }
  return text;
}

export function device(text: string): string {
  if (text === '' || text.length > 32) throw new UsageError(`'${text}' is not a device name`);
  return text;
}

/** A decimal integer within bounds. */
export const integer =
  (min: number, max: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!/^\d{1,10}$/.test(text) || value < min || value > max) {
      throw new UsageError(`'${text}' is not a number from ${min} to ${max}`);
    }
    return value;
  };

/** One word out of a fixed set. */
export const oneOf =
  <const W extends string>(...words: W[]) =>
  (text: string): W => {
    if (!(words as string[]).includes(text)) {
      throw new UsageError(`'${text}' is none of ${words.join(', ')}`);
    }
    return text as W;
  };

export const onOff = (text: string): boolean => oneOf('on', 'off')(text) === 'on';

/** The object without its undefined fields. */
export function compact<T extends object>(object: T): Compact<T> {
  return Object.fromEntries(Object.entries(object).filter(([, v]) => v !== undefined)) as Compact<T>;
}

type OptionalKeys<T> = { [K in keyof T]: undefined extends T[K] ? K : never }[keyof T];
export type Compact<T> = { [K in Exclude<keyof T, OptionalKeys<T>>]: T[K] } & {
  [K in OptionalKeys<T>]?: Exclude<T[K], undefined>;
};
