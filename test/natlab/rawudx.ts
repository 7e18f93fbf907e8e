// One end of a bare udx stream between two nodes of the laboratory, without anything of ours: what the same bytes cost
// that carries them over UDP. Each end opens its own NAT first, by datagrams to the other until one of them comes in.
//   node --import tsx test/natlab/rawudx.ts send|receive PORT IP PORT BYTES
// Prints {"ms":..., "cpuMs":...} when all is through: from the first byte, at the sender until the last is acknowledged.

import type { EventEmitter } from 'node:events'

const OPEN_MS = 50
const BLOCK = 256 * 1024

interface Socket extends EventEmitter {
  bind(port: number, host: string): void
  trySend(bytes: Uint8Array, port: number, host: string): void
  close(): Promise<void>
}

interface Stream extends EventEmitter {
  connect(socket: Socket, id: number, port: number, host: string): void
  write(bytes: Uint8Array): boolean
  end(): void
}

const [role = '', own = '', ip = '', port = '', size = ''] = process.argv.slice(2)
const bytes = Number(size)

/** Resolves when a datagram of the other side has come in, and that side has had time to hear one of this. */
async function open(socket: Socket): Promise<void> {
  const heard = new Promise<void>((resolve) => socket.once('message', () => resolve()))
  const opening = setInterval(() => socket.trySend(new Uint8Array(1), Number(port), ip), OPEN_MS)
  await heard
  await new Promise((resolve) => setTimeout(resolve, 6 * OPEN_MS))
  clearInterval(opening)
}

async function send(stream: Stream): Promise<void> {
  const block = new Uint8Array(BLOCK).fill(7)
  for (let left = bytes; left > 0; left -= BLOCK) {
    if (!stream.write(block.subarray(0, Math.min(left, BLOCK)))) await new Promise((resolve) => stream.once('drain', resolve))
  }
  stream.end()
  await new Promise((resolve) => stream.once('finish', resolve)) // all of it is acknowledged
}

function receive(stream: Stream, onFirst: () => void): Promise<void> {
  let left = bytes
  return new Promise((resolve, reject) => {
    stream.on('data', (chunk: Uint8Array) => {
      if (left === bytes) onFirst()
      left -= chunk.length
    })
    stream.on('end', () => {
      stream.end()
      if (left === 0) resolve()
      else reject(new Error(`${left} bytes are missing`))
    })
  })
}

async function main(): Promise<void> {
  // @ts-expect-error: it has no types
  const { default: UDX } = (await import('udx-native')) as { default: new () => { createSocket(): Socket; createStream(id: number): Stream } }
  const udx = new UDX()
  const socket = udx.createSocket()
  socket.bind(Number(own), '0.0.0.0')
  const ids = role === 'send' ? ([1, 2] as const) : ([2, 1] as const)
  const stream = udx.createStream(ids[0])
  stream.on('error', (error) => {
    throw error as Error
  })
  stream.connect(socket, ids[1], Number(port), ip) // before it is open: what the other side sends first is not lost
  await open(socket)
  let since = performance.now()
  const cpu = process.cpuUsage()
  if (role === 'send') await send(stream)
  else await receive(stream, () => (since = performance.now()))
  const { user, system } = process.cpuUsage(cpu)
  console.log(JSON.stringify({ ms: performance.now() - since, cpuMs: (user + system) / 1000 }))
  setTimeout(() => process.exit(), 500) // the last acknowledgement still goes
}

void main()
