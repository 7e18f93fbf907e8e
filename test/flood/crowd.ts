// Strangers in numbers, in a process of its own so that what they cost can be told from what they cost the listener.
//
//   crowd.ts hold PORT COUNT         opens COUNT connections, each from an address of its own, and keeps them
//   crowd.ts drip PORT COUNT         the same, a byte a second on each
//   crowd.ts much PORT COUNT         the same, a mebibyte at once on each
//   crowd.ts hello PORT RATE         as many connections a second with a forged hello each
//   crowd.ts unknown PORT RATE TOKEN  as many a second, each with a true hello of somebody unknown to the token's owner
//   crowd.ts knock PORT RATE TOKEN    the same, and each asks to be a contact
//   crowd.ts udp PORT RATE           as many forged hellos a second in datagrams, from 1024 addresses
//   crowd.ts nobody PORT             takes datagrams and does nothing with them
//
// Prints what it has done so far, `counts` and JSON, a line a second, until it is ended.

import { createSocket } from 'node:dgram'
import { connect, type Socket } from 'node:net'

import { systemRandom } from '../../lib/base/random.ts'
import { openUdx } from '../../lib/net/udx.ts'
import { HELLO_SIZE, KIND } from '../../lib/wire/hello.ts'
import { parseToken } from '../../lib/wire/token.ts'
import { helloWith, type Keys, strangersKeys } from '../caller.ts'

const HOST = '127.0.0.1'
const TICK_MS = 5
const OPENED_A_TICK = 10 // 2000 connections a second
const SOURCES = 1024
const FORGERIES = 2048
const STRANGERS = 512
const MUCH = Buffer.alloc(2 ** 20, 'x')

const counts = { opened: 0, open: 0, bytes: 0, sent: 0, taken: 0, cpu: 0 }

const [mode = '', port = '', number = '0', text = ''] = process.argv.slice(2)

/** An address of this machine that is the nth's own. */
function source(n: number): string {
  return `127.${1 + ((n >> 14) & 63)}.${(n >> 7) & 127}.${1 + (n & 127)}`
}

/** No two are the same for long. */
const forged = Array.from({ length: FORGERIES }, () => Buffer.from(systemRandom.bytes(HELLO_SIZE)))

function forgery(n: number): Buffer {
  const hello = forged[n % FORGERIES] as Buffer
  hello.writeUInt32BE(n, 4)
  return hello
}

function call(n: number, says?: Buffer): Socket {
  const socket = connect({ host: HOST, port: Number(port), localAddress: source(n) })
  counts.opened++
  counts.open++
  socket.on('data', (bytes: Buffer) => (counts.bytes += bytes.length))
  socket.on('error', () => undefined).on('close', () => counts.open--)
  if (says !== undefined) socket.write(says)
  return socket
}

/** `rate` times a second. */
function steadily(rate: number, work: (n: number) => void): void {
  const since = performance.now()
  let n = 0
  setInterval(() => {
    for (const due = ((performance.now() - since) / 1000) * rate; n < due; n++) work(n)
  }, TICK_MS)
}

function hold(count: number, drips: boolean, says?: Buffer): void {
  const sockets: Socket[] = []
  const opening = setInterval(() => {
    for (let n = 0; n < OPENED_A_TICK && sockets.length < count; n++) sockets.push(call(sockets.length, says))
    if (sockets.length >= count) clearInterval(opening)
  }, TICK_MS)
  if (drips) setInterval(() => sockets.forEach((socket) => socket.writable && socket.write('x')), 1000)
}

async function main(): Promise<void> {
  if (mode === 'hold' || mode === 'drip') hold(Number(number), mode === 'drip')
  if (mode === 'much') hold(Number(number), false, MUCH)
  if (mode === 'hello') steadily(Number(number), (n) => void call(n % 60_000, forgery(n)))
  if (mode === 'unknown' || mode === 'knock') {
    const token = parseToken(text)
    const strangers = await Promise.all(Array.from({ length: STRANGERS }, () => strangersKeys()))
    const kind = mode === 'knock' ? KIND.REQUEST : KIND.CONTACT
    const helloOf = (n: number): Buffer =>
      helloWith(strangers[n % STRANGERS] as Keys, { identity: token.identity, token }, { ts: BigInt(n + 1), kind })
    steadily(Number(number), (n) => void call(n % 60_000, helloOf(n)))
  }
  if (mode === 'udp') {
    const sockets = await Promise.all(
      Array.from({ length: SOURCES }, async (_, n) => {
        const socket = createSocket({ type: 'udp4', sendBufferSize: 4 << 20 })
        await new Promise<void>((resolve) => socket.bind(0, source(n), resolve))
        return socket.on('message', (bytes) => (counts.bytes += bytes.length)).on('error', () => undefined)
      }),
    )
    steadily(Number(number), (n) => {
      sockets[n % SOURCES]?.send(forgery(n), Number(port), HOST)
      counts.sent++
    })
  }
  if (mode === 'nobody') await openUdx(Number(port), () => counts.taken++)
  setInterval(() => {
    const { user, system } = process.cpuUsage()
    console.log(`counts ${JSON.stringify({ ...counts, cpu: (user + system) / 1e6 })}`)
  }, 1000)
}

void main()
