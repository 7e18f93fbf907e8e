import type { ByteStream, Endpoint } from '../../lib/net/stream.ts'
import type { Listening } from '../../lib/net/tcp.ts'
import type { Proc } from './machine.ts'

export interface Network {
  connect(process: Proc, to: Endpoint, signal: AbortSignal): Promise<ByteStream>
  listen(process: Proc, at: Endpoint, onStream: (stream: ByteStream) => void): Promise<Listening>
}
