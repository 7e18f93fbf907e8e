# Text that a peer or another program wrote: decoded, and made fit for a terminal. Bytes in the C locale; chr, ord, BAD,
# DIGITS, HEX and WIDTH are those of home.awk.

# The \uXXXX of JSON; a name has no others.
function unescape(text,   out, at, i, code) {
  while ((at = index(text, chr[92] "u")) > 0) {
    code = 0
    for (i = 2; i < 6; i++) code = code * 16 + index(HEX, tolower(substr(text, at + i, 1))) - 1
    out = out substr(text, 1, at - 1) utf8(code)
    text = substr(text, at + 6)
  }
  return out text
}

function utf8(code) {
  if (code < 128) return code > 0 ? chr[code] : BAD
  if (code < 2048) return chr[192 + int(code / 64)] chr[128 + code % 64]
  return chr[224 + int(code / 4096)] chr[128 + int(code / 64) % 64] chr[128 + code % 64]
}

# Encoded words decoded (RFC 2047); what is in another charset stays as it is.
function words2047(text,   out, before, word, part, last) {
  while (match(text, /=[?][A-Za-z0-9_-]+[?][BbQq][?][^? \t]*[?]=/)) {
    before = substr(text, 1, RSTART - 1)
    word = substr(text, RSTART, RLENGTH)
    text = substr(text, RSTART + RLENGTH)
    if (!last || before !~ /^[ \t]*$/) out = out before
    last = 1
    split(word, part, "[?]")
    if (tolower(part[2]) !~ /^(utf-8|us-ascii)$/) out = out word
    else out = out (tolower(part[3]) == "b" ? base64(part[4]) : quoted(part[4]))
    if (length(out) > 4 * WIDTH) break
  }
  return out text
}

function base64(text,   out, i, digit, value, bits, size, byte) {
  for (i = 1; i <= length(text) && i < 400; i++) {
    digit = index(DIGITS, substr(text, i, 1)) - 1
    if (digit < 0) break
    value = value * 64 + digit
    bits += 6
    if (bits < 8) continue
    bits -= 8
    size = bits == 4 ? 16 : bits == 2 ? 4 : 1
    byte = int(value / size)
    value -= byte * size
    out = out (byte > 0 ? chr[byte] : BAD)
  }
  return out
}

function quoted(text,   out, at, code) {
  gsub(/_/, " ", text)
  while (match(text, /=[0-9A-Fa-f][0-9A-Fa-f]/)) {
    code = (index(HEX, tolower(substr(text, RSTART + 1, 1))) - 1) * 16
    code += index(HEX, tolower(substr(text, RSTART + 2, 1))) - 1
    out = out substr(text, 1, RSTART - 1) (code > 0 ? chr[code] : BAD)
    text = substr(text, RSTART + 3)
  }
  return out text
}

# One line of at most so many characters, fit for a terminal: as printable() in lib/base/text.ts, but what must not be
# printed becomes U+FFFD. Bytes that are not UTF-8 too.
function clean(text, most,   out, i, n, size, code, count) {
  gsub(/[ \t\r\n]+/, " ", text)
  sub(/^ /, "", text)
  sub(/ $/, "", text)
  if (text !~ /[^ -~]/) return length(text) > most ? substr(text, 1, most) "..." : text
  n = length(text)
  for (i = 1; i <= n; i += size) {
    if (count++ == most) return out "..."
    code = ord[substr(text, i, 1)]
    size = code < 128 ? 1 : code < 194 ? 0 : code < 224 ? 2 : code < 240 ? 3 : code < 245 ? 4 : 0
    code = size ? point(text, i, size, code) : -1
    if (code < 0) size = 1
    out = out (fits(code) ? substr(text, i, size) : BAD)
  }
  return out
}

# The code point of a character of so many bytes, -1 if it is none.
function point(text, at, size, code,   i, byte) {
  if (size == 1) return code
  code -= size == 2 ? 192 : size == 3 ? 224 : 240
  for (i = 1; i < size; i++) {
    byte = ord[substr(text, at + i, 1)]
    if (byte < 128 || byte > 191) return -1
    code = code * 64 + byte - 128
  }
  return (size == 3 && code < 2048) || (size == 4 && (code < 65536 || code > 1114111)) ? -1 : code
}

function fits(code) {
  if (code < 32 || code > 126 && code < 160 || code >= 55296 && code <= 57343) return 0
  if (code == 1564 || code == 8206 || code == 8207 || code >= 8232 && code <= 8238) return 0
  if (code >= 8294 && code <= 8303 || code == 65279 || code >= 65529 && code <= 65531) return 0
  return code != 65534 && code != 65535 && (code < 917504 || code > 917535)
}
