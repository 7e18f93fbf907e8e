// A network between two simulated machines, as TCP shows one to its users: a call is lost, refused or comes late, so that
// of two calls the second may be first and both sides may call at once; bytes come late and in other pieces, never in
// another order; a connection breaks at any byte, for both ends, for one of them, or for none, which then hear nothing
// more; and what a caller has said is said again by somebody who listened in. All of it is drawn from one seed.

import { type ByteStream, type Endpoint, Lost } from '../../lib/net/stream.ts'
import type { Listening } from '../../lib/net/tcp.ts'
import { HELLO_SIZE } from '../../lib/wire/hello.ts'
import { diskError } from './disk.ts'
import { type Host, Machine, never, Proc } from './machine.ts'
import type { Network } from './net.ts'
import { type Cargo, type Carrier, SimStream } from './stream.ts'

export interface Dice {
  next(): number
}

/** Until a side that gets no answer gives a connection up, as the kernel does. */
const RETRANSMIT_MS = 900_000

/** Bytes of a call that are said again: the hello, and some of what follows. */
const OVERHEARD = 4 * HELLO_SIZE

interface Port {
  readonly process: Proc
  readonly onStream: (stream: ByteStream) => void
}

export class Weather implements Network {
  readonly dice: Dice
  readonly host: Host
  /** From now on nothing is lost and nothing breaks; what broke stays broken. */
  calm = false
  readonly faults: string[] = []
  readonly connections = new Set<Connection>()
  readonly #ports = new Map<string, Port>()
  readonly #addresses: ReadonlyMap<string, Machine>
  readonly #eavesdropper: Proc
  #caller = 40_000

  constructor(host: Host, dice: Dice, addresses: ReadonlyMap<string, Machine>) {
    this.host = host
    this.dice = dice
    this.#addresses = addresses
    const elsewhere = new Machine('n', host, () => false)
    this.#eavesdropper = elsewhere.start({ bytes: (size) => new Uint8Array(size) })
  }

  chance(probability: number): boolean {
    return this.dice.next() < probability
  }

  /** Mostly short, now and then so long that others overtake it. */
  delay(): number {
    const { dice } = this
    if (this.calm) return 1
    return dice.next() < 0.1 ? dice.next() * 3000 : dice.next() * 30
  }

  after(ms: number, run: () => void): void {
    this.host.time.at(this.host.time.now + ms, run)
  }

  connect(process: Proc, to: Endpoint, signal: AbortSignal): Promise<ByteStream> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new Lost('aborted'))
      let mine: SimStream | undefined
      const giveUp = (): void => {
        mine?.destroy()
        reject(new Lost('aborted'))
      }
      signal.addEventListener('abort', giveUp, { once: true })
      if (!this.calm && this.chance(0.15)) return // nobody ever hears of it
      this.after(this.delay(), () => {
        if (signal.aborted) return
        const machine = this.#addresses.get(to.ip)
        const port = machine && this.#ports.get(machine.name)
        if (machine === undefined || machine.processes.size === 0) return // it is off: no answer
        if (port === undefined || (!this.calm && this.chance(0.03))) {
          return this.after(this.delay(), () => {
            if (process.alive) reject(diskError('ECONNREFUSED'))
          })
        }
        const connection = this.#join(process, to, port)
        mine = connection.ends[0]
        this.after(this.delay(), () => {
          signal.removeEventListener('abort', giveUp)
          if (process.alive && !signal.aborted) resolve(connection.ends[0])
        })
      })
    })
  }

  #join(caller: Proc, to: Endpoint, port: Port): Connection {
    const connection = new Connection(this, caller, to, port.process, ++this.#caller)
    this.connections.add(connection)
    port.onStream(connection.ends[1])
    return connection
  }

  listen(process: Proc, at: Endpoint, onStream: (stream: ByteStream) => void): Promise<Listening> {
    if (!process.alive) return never()
    if (at.ip.includes(':')) return Promise.reject(diskError('EAFNOSUPPORT'))
    const { name } = process.machine
    if (this.#ports.has(name)) return Promise.reject(diskError('EADDRINUSE'))
    const port = { process, onStream }
    this.#ports.set(name, port)
    const close = (): void => {
      if (this.#ports.get(name) === port) this.#ports.delete(name)
    }
    process.onDeath.add(close)
    return Promise.resolve({
      ip: at.ip,
      port: at.port,
      close: () => {
        close()
        return Promise.resolve()
      },
    } as Listening)
  }

  /** Somebody says again what the caller of this connection has said. */
  repeat({ said, machine, answered }: Connection): void {
    const port = this.#ports.get(machine.name)
    if (port === undefined || said.length < HELLO_SIZE) return
    const to = { ip: '10.0.0.9', port: 9 }
    const connection = new Connection(this, this.#eavesdropper, to, port.process, ++this.#caller)
    connection.onAnswer = () => {
      if (answered()) this.faults.push('replay: a hello that was answered before is answered again')
    }
    port.onStream(connection.ends[1])
    void connection.ends[0].write([said])
    this.after(30_000, () => connection.ends[0].destroy())
  }
}

export class Connection implements Carrier {
  readonly ends: readonly [SimStream, SimStream]
  /** Of the side that was called. */
  readonly machine: Machine
  /** What the caller said first. */
  said: Uint8Array = new Uint8Array(0)
  onAnswer: () => void = () => undefined
  readonly #weather: Weather
  readonly #boots: readonly [number, number]
  /** When the last that was sent to this end is there. */
  readonly #hours = [0, 0]
  /** Bytes until it breaks. */
  #left = Infinity
  #broken = false
  #answered = false

  constructor(weather: Weather, caller: Proc, to: Endpoint, listener: Proc, port: number) {
    this.#weather = weather
    this.machine = listener.machine
    const { dice } = weather
    const a = new SimStream(caller, to, this)
    const b = new SimStream(listener, { ip: caller.machine.name === 'a' ? '10.0.0.1' : '10.0.0.2', port }, this)
    a.other = b
    b.other = a
    this.ends = [a, b]
    this.#boots = [caller.machine.boot, listener.machine.boot]
    if (weather.calm) return
    if (weather.chance(0.4)) this.#left = Math.floor(dice.next() ** 2 * 8000)
    if (weather.chance(0.1)) weather.after(dice.next() * 60_000, () => weather.repeat(this))
  }

  /** Neither end knows of an end. */
  get open(): boolean {
    return !this.#broken && this.ends.every(({ over, process }) => !over && process.alive)
  }

  readonly answered = (): boolean => this.#answered

  carry(from: SimStream, cargo: Cargo): void {
    const weather = this.#weather
    const side = from === this.ends[0] ? 0 : 1
    if (cargo instanceof Uint8Array) {
      if (side === 1) {
        this.#answered = true
        this.onAnswer()
      } else if (this.said.length < OVERHEARD) {
        this.said = new Uint8Array(Buffer.concat([this.said, cargo]).subarray(0, OVERHEARD))
      }
    }
    if (this.#broken) return this.#lose(from)
    if (!(cargo instanceof Uint8Array)) return this.#send(side, cargo)
    const size = Math.min(cargo.length, this.#left)
    this.#left -= cargo.length
    const middle = weather.chance(0.3) ? Math.floor(weather.dice.next() * size) : 0
    for (const piece of [cargo.subarray(0, middle), cargo.subarray(middle, size)]) {
      if (piece.length > 0) this.#send(side, piece)
    }
    if (this.#left < 0 && !weather.calm) this.#break()
  }

  #send(side: 0 | 1, cargo: Cargo): void {
    const weather = this.#weather
    const { time } = weather.host
    const hour = Math.max(this.#hours[1 - side] as number, time.now + weather.delay())
    this.#hours[1 - side] = hour
    time.at(hour, () => this.#arrive(side, cargo))
  }

  #arrive(side: 0 | 1, cargo: Cargo): void {
    const from = this.ends[side]
    const to = from.other
    const { machine, alive } = to.process
    // A machine that is off says nothing; one that has started again knows of no such connection, and says so.
    if (!alive && machine.boot === this.#boots[1 - side] && machine.processes.size === 0) return this.#lose(from)
    to.arrive(cargo)
    if (cargo instanceof Uint8Array) from.taken(cargo.length)
  }

  #break(): void {
    const weather = this.#weather
    this.#broken = true
    const kind = weather.dice.next()
    for (const [i, end] of this.ends.entries()) {
      const hears = kind < 0.4 || (kind < 0.6 && i === 0) || (kind < 0.8 && kind >= 0.6 && i === 1)
      if (hears) weather.after(weather.delay(), () => end.arrive('reset'))
    }
  }

  /** What this end sends leads nowhere; in the end the kernel gives up. */
  #lose(from: SimStream): void {
    this.#weather.after(RETRANSMIT_MS, () => from.arrive('reset'))
  }
}
