// Questions by datagram to one machine near by, and the answers that come from there: for asking the own router. The
// socket is none of the home's: its port is the system's choice and nobody else's business.

import { createSocket, type Socket } from 'node:dgram'

import { type Clock } from '../base/clock.ts'
import { Malformed } from '../base/fail.ts'
import type { Endpoint } from './stream.ts'

/** When a question is asked, from the first time on, and when it has been in vain. */
const ASK_MS = [0, 250, 750, 1750] as const
const VAIN_MS = 3000

export class Question {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #to: Endpoint
  readonly #bound: boolean
  /** Of this machine, towards there. */
  readonly ip: string

  private constructor(socket: Socket, clock: Clock, to: Endpoint, bound: boolean) {
    this.#socket = socket
    this.#clock = clock
    this.#to = to
    this.#bound = bound
    this.ip = socket.address().address
    socket.on('error', () => undefined) // nobody listens there: each question hears it as well
  }

  /** `anyPort`: answers may come from other ports there. Undefined if there is no way there. */
  static open(clock: Clock, to: Endpoint, anyPort = false): Promise<Question | undefined> {
    return new Promise((resolve) => {
      const socket = createSocket('udp4')
      const fail = (): void => {
        socket.close()
        resolve(undefined)
      }
      const ready = (): void => {
        socket.off('error', fail)
        resolve(new Question(socket, clock, to, !anyPort))
      }
      socket.once('error', fail)
      socket.unref()
      if (anyPort) socket.bind(ready)
      else socket.connect(to.port, to.ip, ready)
    })
  }

  /**
   * Asks until `read` finds an answer in what comes: it returns it, or throws Malformed for anything else. Undefined if
   * none comes, nobody listens, or `signal` fires. `others`: asks these as well; answers count from the one machine.
   */
  ask<T>(bytes: Uint8Array, read: (answer: Uint8Array) => T, signal: AbortSignal, others: readonly Endpoint[] = []): Promise<T | undefined> {
    const socket = this.#socket
    return new Promise((resolve) => {
      const cancels: (() => void)[] = []
      const finish = (answer: T | undefined): void => {
        for (const cancel of cancels) cancel()
        socket.off('message', hear)
        socket.off('error', vain)
        signal.removeEventListener('abort', vain)
        resolve(answer)
      }
      const vain = (): void => finish(undefined)
      const hear = (answer: Uint8Array, from: { address: string }): void => {
        if (from.address !== this.#to.ip) return
        try {
          finish(read(new Uint8Array(answer)))
        } catch (error) {
          if (!(error instanceof Malformed)) throw error
        }
      }
      const send = (): void => {
        if (this.#bound) return socket.send(bytes)
        for (const { ip, port } of [this.#to, ...others]) socket.send(bytes, port, ip)
      }
      if (signal.aborted) return resolve(undefined)
      socket.on('message', hear)
      if (this.#bound) socket.on('error', vain)
      signal.addEventListener('abort', vain, { once: true })
      for (const ms of ASK_MS) cancels.push(this.#clock.after(ms, send))
      cancels.push(this.#clock.after(VAIN_MS, vain))
    })
  }

  close(): void {
    this.#socket.close()
  }
}
