// UPnP's Internet Gateway Device, with the own router and nobody else: the search goes to it, and to the group of all
// gateways if this network may be asked; what it says counts if it comes from the gateway and leads back to it. Answers
// are bounded in size and time, redirections are not followed.

import { request } from 'node:http'

import { fromUtf8, utf8 } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { Malformed } from '../base/fail.ts'
import type { Protocol } from '../wire/natpmp.ts'
import {
  addMappingCall,
  type Call,
  deleteMappingCall,
  encodeSearch,
  externalAddressCall,
  type GatewayUrl,
  gatewayUrl,
  parseCallAnswer,
  parseSearchAnswer,
  type Service,
  servicesOf,
  SSDP_GROUP,
  SSDP_PORT,
  UPNP_ERROR,
} from '../wire/upnp.ts'
import { childText, type Element } from '../wire/xml.ts'
import { formatIp, parseIp } from '../wire/ip.ts'
import { LEASE_S, type Mapped, type Mapper, Refused } from './mapper.ts'
import { Question } from './question.ts'

const ANSWER_MAX = 128 * 1024 // bytes
const ANSWER_MS = 3000
const TRIES = 4 // ports, if somebody else has those asked for

export interface IgdOptions {
  clock: Clock
  gateway: string
  /** The group is asked as well. */
  group: boolean
  signal: AbortSignal
}

class Igd implements Mapper {
  readonly via = 'upnp'
  readonly #gateway: string
  readonly #clock: Clock
  readonly #service: Service
  readonly #client: string

  constructor({ gateway, clock }: IgdOptions, service: Service, client: string) {
    this.#gateway = gateway
    this.#clock = clock
    this.#service = service
    this.#client = client
  }

  async map(protocol: Protocol, port: number, external: number, signal: AbortSignal): Promise<Mapped | undefined> {
    const { type } = this.#service
    const outside = await this.#call(externalAddressCall(type), signal)
    if (outside === undefined) return undefined
    if ('error' in outside) throw new Refused(`says ${outside.error}`)
    const ip = parseIp(childText(outside, 'NewExternalIPAddress'))
    if (ip?.length !== 4 || ip.every((byte) => byte === 0)) throw new Refused('has no outside address of which it could open a port: it is offline, or itself behind a NAT')
    let [wanted, lifetime] = [external, LEASE_S]
    for (let left = TRIES; left > 0; ) {
      const call = addMappingCall(type, { protocol, external: wanted, port, client: this.#client, lifetime })
      const answer = await this.#call(call, signal)
      if (answer === undefined) return undefined
      if (!('error' in answer)) {
        return { protocol, ip: formatIp(ip), port: wanted, lifetime: lifetime === 0 ? Infinity : lifetime }
      }
      if (answer.error === UPNP_ERROR.ONLY_PERMANENT && lifetime > 0) lifetime = 0
      else if (answer.error !== UPNP_ERROR.CONFLICT || --left === 0) throw new Refused(why(answer.error))
      else wanted = (wanted % 65_535) + 1
      if (wanted < 1024) wanted += 1024
    }
    return undefined
  }

  async unmap({ protocol, port }: Mapped, _: number, signal: AbortSignal): Promise<void> {
    await this.#call(deleteMappingCall(this.#service.type, protocol, port), signal)
  }

  close(): void {
    // nothing is kept open
  }

  async #call({ action, body }: Call, signal: AbortSignal): Promise<Element | { error: number } | undefined> {
    const headers = { 'Content-Type': 'text/xml; charset="utf-8"', SOAPAction: action }
    const text = await fetchText(this.#clock, this.#gateway, this.#service.control, signal, { body, headers })
    return text === undefined ? undefined : orNothing(() => parseCallAnswer(text))
  }
}

function why(error: number): string {
  if (error === UPNP_ERROR.CONFLICT) return 'has given these ports to another machine'
  if (error === UPNP_ERROR.NOT_AUTHORIZED) return 'does not let programs open ports: it can be set in the router'
  return `says ${error}`
}

function orNothing<T>(parse: () => T): T | undefined {
  try {
    return parse()
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

/** What a place at the gateway says to GET, or to POST with a body; undefined if nothing that is wanted. */
function fetchText(
  clock: Clock,
  host: string,
  { port, path }: GatewayUrl,
  signal: AbortSignal,
  post?: { body: string; headers: Record<string, string> },
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const body = post === undefined ? undefined : Buffer.from(utf8(post.body))
    const headers = { ...post?.headers, ...(body !== undefined && { 'Content-Length': body.length }), Connection: 'close' }
    const asking = request({ host, port, path, method: post === undefined ? 'GET' : 'POST', agent: false, headers })
    const finish = (text?: string): void => {
      cancel()
      signal.removeEventListener('abort', giveUp)
      asking.destroy()
      resolve(text)
    }
    const giveUp = (): void => finish()
    const cancel = clock.after(ANSWER_MS, giveUp)
    if (signal.aborted) return finish()
    signal.addEventListener('abort', giveUp, { once: true })
    asking.on('error', giveUp)
    asking.on('response', (answer) => {
      const parts: Buffer[] = []
      let size = 0
      answer.on('data', (part: Buffer) => {
        parts.push(part)
        size += part.length
        if (size > ANSWER_MAX) finish()
      })
      answer.on('error', giveUp)
      answer.on('close', giveUp)
      answer.on('end', () => {
        const good = answer.statusCode === 200 || (post !== undefined && answer.statusCode === 500) // a fault
        finish(good ? orNothing(() => fromUtf8(Buffer.concat(parts))) : undefined)
      })
    })
    asking.end(body)
  })
}

/** Undefined if the gateway does not answer as one, or there is no way to it. */
export async function openIgd(options: IgdOptions): Promise<Mapper | undefined> {
  const { clock, gateway, group, signal } = options
  const question = await Question.open(clock, { ip: gateway, port: SSDP_PORT }, true)
  if (question === undefined) return undefined
  const others = group ? [{ ip: SSDP_GROUP, port: SSDP_PORT }] : []
  const read = (bytes: Uint8Array): GatewayUrl => gatewayUrl(parseSearchAnswer(fromUtf8(bytes)), gateway)
  const at = await question.ask(utf8(encodeSearch()), read, signal, others)
  question.close()
  if (at === undefined) return undefined
  const text = await fetchText(clock, gateway, at, signal)
  const [service] = text === undefined ? [] : (orNothing(() => servicesOf(text, gateway, at)) ?? [])
  // The own address towards the gateway: a socket that is bound to all of them does not know it.
  const route = await Question.open(clock, { ip: gateway, port: SSDP_PORT })
  route?.close()
  return service === undefined || route === undefined ? undefined : new Igd(options, service, route.ip)
}
