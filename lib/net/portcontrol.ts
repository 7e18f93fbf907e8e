// PCP and NAT-PMP, with the own router: the two share a port, and a router that speaks the older one alone says so.

import type { Clock } from '../base/clock.ts'
import {
  encodeAddressRequest,
  encodeMapRequest,
  NATPMP_PORT,
  parseAddressResponse,
  parseMapResponse,
  type Protocol,
} from '../wire/natpmp.ts'
import { encodePcpMap, type MapRequest, parsePcpMap, speaksNatPmp } from '../wire/pcp.ts'
import { LEASE_S, type Mapped, type Mapper, Refused } from './mapper.ts'
import { Question } from './question.ts'

/** RFC 6887 11.2: a mapping can be renewed and ended with its nonce alone, after a restart as well. */
export type NonceOf = (protocol: Protocol) => Uint8Array

const VERSION_ONLY = { refused: 'speaks NAT-PMP alone' }

class Pcp implements Mapper {
  readonly via = 'pcp'
  readonly #question: Question
  readonly #nonceOf: NonceOf

  constructor(question: Question, nonceOf: NonceOf) {
    this.#question = question
    this.#nonceOf = nonceOf
  }

  #request(protocol: Protocol, port: number, external: number, lifetime: number): MapRequest {
    return { client: this.#question.ip, nonce: this.#nonceOf(protocol), protocol, port, external, lifetime }
  }

  async map(protocol: Protocol, port: number, external: number, signal: AbortSignal): Promise<Mapped | undefined> {
    const request = this.#request(protocol, port, external, LEASE_S)
    const read = (bytes: Uint8Array): ReturnType<typeof parsePcpMap> =>
      speaksNatPmp(bytes) ? VERSION_ONLY : parsePcpMap(bytes, request)
    const answer = await this.#question.ask(encodePcpMap(request), read, signal)
    if (answer === undefined) return undefined
    if ('refused' in answer) throw new Refused(answer.refused)
    return { protocol, ip: answer.ip, port: answer.external, lifetime: answer.lifetime }
  }

  async unmap({ protocol }: Mapped, port: number, signal: AbortSignal): Promise<void> {
    const request = this.#request(protocol, port, 0, 0)
    await this.#question.ask(encodePcpMap(request), (bytes) => parsePcpMap(bytes, request), signal)
  }

  close(): void {
    this.#question.close()
  }
}

class NatPmp implements Mapper {
  readonly via = 'nat-pmp'
  readonly #question: Question

  constructor(question: Question) {
    this.#question = question
  }

  async map(protocol: Protocol, port: number, external: number, signal: AbortSignal): Promise<Mapped | undefined> {
    const outside = await this.#question.ask(encodeAddressRequest(), parseAddressResponse, signal)
    if (outside === undefined) return undefined
    if ('refused' in outside) throw new Refused(outside.refused)
    const request = encodeMapRequest(protocol, port, external, LEASE_S)
    const answer = await this.#question.ask(request, (bytes) => parseMapResponse(bytes, protocol, port), signal)
    if (answer === undefined) return undefined
    if ('refused' in answer) throw new Refused(answer.refused)
    return { protocol, ip: outside.ip, port: answer.external, lifetime: answer.lifetime }
  }

  async unmap({ protocol }: Mapped, port: number, signal: AbortSignal): Promise<void> {
    const request = encodeMapRequest(protocol, port, 0, 0)
    await this.#question.ask(request, (bytes) => parseMapResponse(bytes, protocol, port), signal)
  }

  close(): void {
    this.#question.close()
  }
}

/** Undefined if there is no way to the gateway. */
export async function openPcp(clock: Clock, gateway: string, nonceOf: NonceOf): Promise<Mapper | undefined> {
  const question = await Question.open(clock, { ip: gateway, port: NATPMP_PORT })
  return question && new Pcp(question, nonceOf)
}

export async function openNatPmp(clock: Clock, gateway: string): Promise<Mapper | undefined> {
  const question = await Question.open(clock, { ip: gateway, port: NATPMP_PORT })
  return question && new NatPmp(question)
}
