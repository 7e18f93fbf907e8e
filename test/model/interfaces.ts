// In the place of lib/net/interfaces.ts: a machine of the model has the address of its token and no other.

import type { Address } from '../../lib/wire/address.ts'

export function localAddresses(): Address[] {
  return []
}

export function globalAddresses(): Address[] {
  return []
}

export function isOnLink(): boolean {
  return true
}
