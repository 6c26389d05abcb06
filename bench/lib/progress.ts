/** What the bench is doing: one line that is rewritten on a terminal, plain lines elsewhere (standard error). */
export class Progress {
  private index = 0;
  private name = '';
  private readonly began = Date.now();
  private readonly tty = process.stderr.isTTY;

  constructor(
    private readonly total: number,
    private readonly shown: boolean,
  ) {}

  begin(name: string): void {
    this.index++;
    this.name = name;
    if (this.shown && !this.tty) process.stderr.write(`${this.head()}\n`);
  }

  say(what: string): void {
    if (!this.shown || !this.tty) return;
    const done = Math.round(((this.index - 1) / this.total) * 20);
    const bar = `${'█'.repeat(done)}${'░'.repeat(20 - done)}`;
    process.stderr.write(`\r\x1b[K${bar} ${this.head()}: ${what}`);
  }

  done(): void {
    this.say('done');
  }

  end(): void {
    if (!this.shown) return;
    const s = Math.round((Date.now() - this.began) / 1000);
    process.stderr.write(`${this.tty ? '\r\x1b[K' : ''}${this.index} scenarios in ${s} s\n`);
  }

  private head(): string {
    return `${this.index}/${this.total} ${this.name}`;
  }
}
