// What a NAT does, seen from a public host with two addresses, as RFC 5780 asks for it: run by test/natlab.test.ts.
//
//   mirror.ts serve IP1 IP2       four sockets, two ports each; a question is `HOW NONCE`, answered with the asker's
//                                 address by the socket asked (same), the other port (port), the other address (ip);
//                                 `call IP PORT` sends one datagram there first
//   mirror.ts ask PORT IP1 IP2    asks from PORT, PORT + 1, PORT + 2 and prints what came out as JSON

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'

const PORTS = [3478, 3479] as const
const PATIENCE_MS = 700
const FEW_HOPS = 5

function bind(port: number, address?: string): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.bind({ port, exclusive: true, ...(address !== undefined && { address }) }, () => resolve(socket))
  })
}

async function serve(ips: readonly string[]): Promise<void> {
  const sockets: Socket[][] = []
  for (const ip of ips) sockets.push(await Promise.all(PORTS.map((port) => bind(port, ip))))
  for (const [i, row] of sockets.entries()) {
    for (const [j, socket] of row.entries()) {
      socket.on('message', (message, { address, port }: RemoteInfo) => {
        const [how, first = '', second] = message.toString().split(' ')
        if (how === 'call') return socket.send('early', Number(second), first)
        const from = how === 'ip' ? sockets[1 - i]?.[1 - j] : how === 'port' ? row[1 - j] : socket
        from?.send(`${first} ${address} ${port}`, port, address)
      })
    }
  }
  console.log('ready')
}

let nonce = 0

/** Own address as seen there, or undefined if no answer gets through. */
function ask(socket: Socket, how: string, ip: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const word = `${socket.address().port}.${nonce++}`
    const done = (answer: string | undefined): void => {
      clearTimeout(timer)
      socket.off('message', hear)
      resolve(answer)
    }
    const hear = (message: Buffer): void => {
      const [said, address, seen] = message.toString().split(' ')
      if (said === word) done(`${address}:${seen}`)
    }
    const timer = setTimeout(() => done(undefined), PATIENCE_MS)
    socket.on('message', hear)
    socket.send(`${how} ${word}`, port, ip)
  })
}

async function explore(port: number, ips: readonly [string, string]): Promise<void> {
  const [near, far] = ips
  const filtered = await bind(port)
  const seen = await ask(filtered, 'same', near, PORTS[0])
  const ip = await ask(filtered, 'ip', near, PORTS[0])
  const other = await ask(filtered, 'port', near, PORTS[0])
  const mapped = await bind(port + 1)
  const maps = [
    await ask(mapped, 'same', near, PORTS[0]),
    await ask(mapped, 'same', near, PORTS[1]),
    await ask(mapped, 'same', far, PORTS[0]),
  ]
  mapped.setTTL(FEW_HOPS)
  const few = await ask(mapped, 'same', near, PORTS[0])
  const [a, b, c] = maps
  const outside = seen?.split(':')[0]
  // An early datagram from there to the outside port of PORT + 2, then the first one of ours.
  const early = await bind(port + 2)
  if (outside !== undefined) filtered.send(`call ${outside} ${port + 2}`, PORTS[0], near)
  await new Promise((resolve) => setTimeout(resolve, 100))
  const after = await ask(early, 'same', near, PORTS[0])
  const preserved = (address: string | undefined, local: number): boolean => address?.endsWith(`:${local}`) === true
  console.log(
    JSON.stringify({
      mapping: a === b && b === c ? 'independent' : a === b ? 'address' : 'address+port',
      filtering: ip !== undefined ? 'independent' : other !== undefined ? 'address' : 'address+port',
      keeps: preserved(seen, port) && preserved(a, port + 1),
      outside,
      farWithFewHops: few !== undefined,
      spoilt: preserved(seen, port) && !preserved(after, port + 2),
    }),
  )
  for (const socket of [filtered, mapped, early]) socket.close()
}

const [role, ...words] = process.argv.slice(2)
if (role === 'serve') await serve(words)
else await explore(Number(words[0]), [words[1] ?? '', words[2] ?? ''])
