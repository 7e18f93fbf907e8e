// In the place of lib/delivery/udpside.ts, callport.ts, portmapping.ts and neighbours.ts: in the model everything goes over
// TCP, no router is in the way, and nobody is nearby.

export class UdpSide {
  readonly port = undefined
  open(): Promise<void> {
    return Promise.resolve()
  }
  start(): void {}
  reload(): void {}
  lost(): void {}
  hurry(): Promise<void> {
    return Promise.resolve()
  }
  close(): Promise<void> {
    return Promise.resolve()
  }
}

export class CallPort {
  readonly wanted = new AbortController().signal
  get(): Promise<undefined> {
    return Promise.resolve(undefined)
  }
  incoming(_: string, signal: AbortSignal): Promise<undefined> {
    return new Promise((resolve) => {
      if (signal.aborted) resolve(undefined)
      else signal.addEventListener('abort', () => resolve(undefined), { once: true })
    })
  }
  close(): Promise<void> {
    return Promise.resolve()
  }
}

export class PortMapping {
  readonly addresses = []
  start(): Promise<void> {
    return Promise.resolve()
  }
  moved(): void {}
  stop(): Promise<void> {
    return Promise.resolve()
  }
}

export class Neighbours {
  start(): Promise<void> {
    return Promise.resolve()
  }
  moved(): Promise<void> {
    return Promise.resolve()
  }
  stop(): void {}
  of(): undefined {}
}
