/** Settings of syn-proxy: `ipvs_defs/tcp/synproxy` of dpvs.conf, with its defaults. */

export interface SynproxyConfig {
  /** Largest segment that we tell clients to send, TTL of our SYN-ACK. */
  mss: number;
  ttl: number;
  sack: boolean;
  /** Shift count, 0 = no window scaling. */
  wscale: number;
  timestamp: boolean;
  /** The client may send nothing until its real server has answered. */
  closeClientWindow: boolean;
  /** The real server is asked when the client has sent data. */
  deferRsSyn: boolean;
  /** SYNs to a real server that does not answer, the first one not counted. */
  rsSynMaxRetry: number;
  /** Packets of a client that are kept until its real server has answered. */
  maxAckSaved: number;
  /** States in which a client with a cookie may replace its connection. */
  connReuse: { close: boolean; timeWait: boolean; finWait: boolean; closeWait: boolean; lastAck: boolean };
  /** Packets kept for all handshakes of an lcore together. */
  packetsHeld: number;
}

export const SYNPROXY_DEFAULTS: SynproxyConfig = {
  mss: 1452,
  ttl: 63,
  sack: true,
  wscale: 0,
  timestamp: false,
  closeClientWindow: false,
  deferRsSyn: false,
  rsSynMaxRetry: 3,
  maxAckSaved: 3,
  connReuse: { close: true, timeWait: true, finWait: false, closeWait: false, lastAck: false },
  packetsHeld: 4096,
};
