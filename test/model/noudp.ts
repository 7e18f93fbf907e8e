// In the place of lib/delivery/udpside.ts, callport.ts, portmapping.ts and neighbours.ts: in the model everything goes over
// TCP, no router is in the way, and nobody is nearby. They are put in place as text: that they are what the program calls
// is checked here.

import type { CallPort as RealCallPort } from '../../lib/delivery/callport.ts'
import type { Neighbours as RealNeighbours } from '../../lib/delivery/neighbours.ts'
import type { PortMapping as RealPortMapping } from '../../lib/delivery/portmapping.ts'
import type { UdpSide as RealUdpSide } from '../../lib/delivery/udpside.ts'

type Public<T> = Pick<T, keyof T>

const done = (): Promise<void> => Promise.resolve()
const nothing = (): void => undefined

export class UdpSide implements Public<RealUdpSide> {
  readonly port = undefined
  readonly holding = undefined
  readonly searches = undefined
  readonly missing = undefined
  readonly opened = done
  readonly open = done
  readonly start = nothing
  readonly reload = nothing
  readonly lost = nothing
  readonly hurry = done
  readonly close = done
}

export class CallPort implements Public<RealCallPort> {
  readonly wanted = new AbortController().signal
  readonly close = done

  get(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  incoming(_: string, signal: AbortSignal): Promise<undefined> {
    return new Promise((resolve) => {
      if (signal.aborted) resolve(undefined)
      else signal.addEventListener('abort', () => resolve(undefined), { once: true })
    })
  }
}

export class PortMapping implements Public<RealPortMapping> {
  readonly addresses = []
  readonly state = undefined
  readonly useless = undefined
  readonly start = done
  readonly moved = nothing
  readonly settled = done
  readonly close = done
  readonly want = (): Promise<() => Promise<void>> => Promise.resolve(done)
}

export class Neighbours implements Public<RealNeighbours> {
  readonly start = done
  readonly moved = done
  readonly stop = nothing

  of(): undefined {}
}
