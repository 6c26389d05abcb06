/*
 * The control block that the bench (bench/lib/source.ts) and this plugin share: one file, mapped here, read and written
 * there with pread and pwrite. Every field is a little-endian uint64; the field's number is its index. The bench reads
 * the names and numbers of this file, so that the two cannot drift apart: keep one `NAME = number,` a line.
 */
#pragma once

enum field {
  /* --- orders of the bench */
  F_ORDER = 0, /* incremented after ORDER_CODE is set */
  F_ORDER_CODE = 1,
  F_DONE = 2, /* set to F_ORDER when the order is carried out */
  F_RESULT = 3, /* 0, or an errno */
  F_MODE = 4,
  F_SIDES = 5, /* bit 0: packets come from clients, bit 1: from real servers */
  F_FLOWS = 6,
  F_FRAME = 7, /* bytes of a frame, 0 = IMIX 7:4:1 of 64, 570, 1514 */
  F_PROTO = 8,
  F_RATE = 9, /* packets a second over both sides, 0 = as fast as they are taken */
  F_VERIFY = 10, /* 1: every byte, 2: headers and checksums, of packets that the source did not make */
  F_LATENCY = 11,
  F_WINDOW = 12, /* lives that may be under way at once */
  F_RING = 13, /* packets that a receive queue holds before it overflows, when paced */
  F_ARM_SIDES = 15, /* bit 0: take over the client side's driver, bit 1: the server side's */
  F_SYNTHETIC = 14, /* replies are not learnt but made up: for forwarders that translate nothing */

  /* --- the network (addresses and ports in host order, MACs as six bytes from the lowest) */
  F_VIP = 16,
  F_VPORT = 17,
  F_RS = 18,
  F_RS_COUNT = 19,
  F_RS_PORT = 20,
  F_LIP = 21,
  F_LIP_COUNT = 22,
  F_MAC_LB0 = 23,
  F_MAC_LB1 = 24,
  F_MAC_CLIENT = 25,
  F_MAC_SERVER = 26,
  F_CLIENT = 27, /* first client address; 2^20 of them */
  F_FWD = 29, /* how the load balancer forwards: one of FWD_ */
  F_TUNNEL = 30, /* its own address, the source of tunnels */
  F_FIRST_ID = 28, /* of the flows that are walked or made */

  /* --- counters, only ever growing; written by the lcore */
  F_RX0 = 64, /* handed to the load balancer by the client side */
  F_RX1 = 65, /* by the server side */
  F_TX0 = 66, /* sent by it to clients */
  F_TX1 = 67, /* to real servers */
  F_TX_BYTES = 68,
  F_LEARNT = 69,
  F_MISSED = 70, /* overflowed the receive queue (paced sources) */
  F_NOBUF = 71,
  F_SYNS = 72, /* that reached a real server */
  F_LIVES = 73, /* connections that came to their last ACK */
  F_STARTED = 74, /* connections begun */
  F_VERIFIED = 75,
  F_BAD = 76,
  F_BAD_ETHER = 77,
  F_BAD_IP = 78,
  F_BAD_IP_SUM = 79,
  F_BAD_L4_SUM = 80,
  F_BAD_TUPLE = 81,
  F_BAD_LENGTH = 82,
  F_BAD_PAYLOAD = 83,
  F_BAD_TUNNEL = 85, /* outer header */
  F_FOREIGN = 84, /* frames that are not of the bench, such as ARP */
  F_TSC_HZ = 88,
  F_LAST_ID = 89, /* next id that a walk or a maker of connections uses */
  F_GAPS = 96, /* 32 counters: times of 2^k to 2^(k+1) ticks between two polls */
  F_LATENCY_COUNT = 128,
  F_LATENCY_MAX = 129,
  F_LATENCY_HIST = 130, /* LATENCY_CELLS counters, log-linear, 32 cells an octave */
  F_GAP_COUNT = 1666, /* gaps since the bench set it to 0; the first GAP_RECORDS of them are described in what follows */
  F_GAP_LOG = 1667,
};

#define LATENCY_CELLS 1536
#define GAP_RECORDS 32768
#define GAP_FIELDS 8
#define CTL_FIELDS (F_GAP_LOG + GAP_RECORDS * GAP_FIELDS)

/* What is known of a gap: a time between two polls that is longer than everyday's. */
enum gap {
  GAP_AT = 0, /* its end, ticks */
  GAP_WALL = 1, /* ticks */
  GAP_OFF = 2, /* of them without the CPU: other threads, the hypervisor, interrupts */
  GAP_GC = 3, /* ticks in garbage collections of V8 */
  GAP_GC_OFF = 4, /* of them without the CPU */
  GAP_PREEMPTED = 5, /* times that the kernel gave the CPU to another thread */
  GAP_WAITED = 6, /* times that the thread itself waited: for a lock, a sleep */
  GAP_FAULTS = 7, /* page faults */
};

/* STATS writes the first and second port's own counters to F_RX0 and F_TX1. */
enum order { ORDER_ARM = 1, ORDER_BUILD = 2, ORDER_DISARM = 3, ORDER_CLEAR = 4, ORDER_STATS = 5 };
/* SNAT: the clients are inside, the real servers outside, and the local addresses those that clients get. */
enum fwd { FWD_FULLNAT = 0, FWD_NAT = 1, FWD_DR = 2, FWD_TUNNEL = 3, FWD_SNAT = 4 };
enum mode { MODE_IDLE = 0, MODE_WALK = 1, MODE_RUN = 2, MODE_SYN = 3, MODE_LIFE = 4 };
