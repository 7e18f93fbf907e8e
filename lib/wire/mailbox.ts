// Contacts as mail programs know them: KEY@p2p.invalid, a domain that no mail server can ever deliver to (RFC 2606).

/** `KEY@p2p.invalid` */
export function mailAddress(key: string): string {
  return `${key}@p2p.invalid`
}

/** A NAME as a display name: of its letters, digits and `. _ + -` RFC 5322 wants quotes for the full stop alone. */
export function mailPhrase(name: string): string {
  return name.includes('.') ? `"${name}"` : name
}

/** `NAME <KEY@p2p.invalid>` */
export function mailbox(name: string, key: string): string {
  return `${mailPhrase(name)} <${mailAddress(key)}>`
}
