/** Entry of an lcore's worker thread: one never-ending Piscina task. */
import { native } from '../core/native.js';
import { Lcore } from './lcore.js';
import type { LcoreTask } from './task.js';

export default function run(task: LcoreTask): void {
  const n = native();
  n.threadName(`lcore-${task.id}`);
  n.threadPin(task.cpu);
  n.threadRegister();
  n.lcoreBind(task.id);
  try {
    new Lcore(task, n).run();
  } finally {
    n.lcoreUnbind(task.id);
  }
}
