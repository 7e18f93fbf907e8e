// Oneself, as every command knows its owner: by the own token. No secret is touched here; identity.ts makes and changes.

import { EX, Failure, ioFailure, Malformed } from '../base/fail.ts'
import { base58 } from '../base/key.ts'
import { formatToken, parseToken, type Token } from '../wire/token.ts'
import { readText } from './durable.ts'
import type { Home } from './home.ts'

export interface Self {
  /** Tells it from a Contact. */
  readonly me: true
  /** The name suggested to others. */
  readonly name: string
  /** base58 of `identity`. */
  readonly key: string
  readonly identity: Uint8Array
  readonly token: Token
  readonly tokenText: string
}

/** Who this home is. Throws Failure 78 if nobody yet, or if `token` is damaged. Does not touch a secret. */
export async function loadSelf(home: Home): Promise<Self> {
  const path = home.at('token')
  let text: string | undefined
  try {
    text = await readText(home.files, path)
    if (text === undefined) {
      throw new Failure(EX.CONFIG, `no identity in ${home.path} (from ${home.source})`, 'p2p-id init')
    }
    return selfOf(parseToken(text), text.trim())
  } catch (error) {
    if (error instanceof Malformed || (error instanceof Failure && error.exit === EX.DATA)) {
      throw new Failure(EX.CONFIG, `${path} is damaged: ${error.message}`)
    }
    throw ioFailure(error, `cannot read ${path}`)
  }
}

/** Of a token that is the own one. */
export function selfOf(token: Token, tokenText = formatToken(token)): Self {
  const { name, identity } = token
  return { me: true, name, key: base58(identity), identity, token, tokenText }
}
